"use strict";
// Shows the pictures that have the chosen error and the chosen joint; without this script all are shown.
const sort = document.getElementById("sort");
const joint = document.getElementById("joint");
const shown = document.getElementById("shown");
const pictures = [...document.querySelectorAll(".picture")];

function filter() {
  let count = 0;
  for (const picture of pictures) {
    const has = (name, value) => value === "" || picture.dataset[name].split(" ").includes(value);
    picture.hidden = !(has("sorts", sort.value) && has("joints", joint.value));
    count += picture.hidden ? 0 : 1;
  }
  shown.textContent = `${count} of ${pictures.length} pictures`;
}

if (sort) {
  sort.addEventListener("change", filter);
  joint.addEventListener("change", filter);
  document.getElementById("all").addEventListener("click", () => {
    sort.value = joint.value = "";
    filter();
  });
  filter();
}
