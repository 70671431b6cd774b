"""What the commands of ``python3 -m higherhrnet`` do with their arguments."""
