"""What average precision is made of: people matched, errors named and counted. Numbers in, numbers out."""
