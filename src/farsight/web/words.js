// A word of an object is chosen: its attention lies over the picture, and that of the same object on the other side.
element.addEventListener("click", (event) => {
  const word = event.target.closest("button.word");
  if (!word) return;
  const again = word.getAttribute("aria-pressed") === "true";
  const own = word.closest(".side");
  const named = (side) =>
    [...side.querySelectorAll("button.word")].filter((one) => one.dataset.object === word.dataset.object);
  for (const side of element.querySelectorAll(".side")) {
    const alike = named(side);
    const other = alike[named(own).indexOf(word)] ?? alike[0] ?? null;
    const chosen = again ? null : side === own ? word : other;
    side.querySelectorAll("button.word").forEach((one) => one.setAttribute("aria-pressed", String(one === chosen)));
    let shown = null;
    side.querySelectorAll("img.look").forEach((look) => {
      look.hidden = chosen === null || look.dataset.mention !== chosen.dataset.mention;
      if (!look.hidden) shown = look;
    });
    side.querySelector(".plain-picture").hidden = shown !== null;
    const caption = side.querySelector(".look-caption");
    if (shown) caption.textContent = shown.alt;
    else if (again) caption.textContent = "Choose a marked word to see where it looked.";
    else caption.textContent = `“${word.dataset.object}” is not named on this side.`;
  }
});
