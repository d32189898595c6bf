// A word of an object is chosen: its attention lies over the picture, and that of the same object on the other side.
element.addEventListener("click", (event) => {
  const word = event.target.closest("button.word");
  if (!word) return;
  const again = word.getAttribute("aria-pressed") === "true";
  const own = word.closest(".column");
  const same = [...own.querySelectorAll("button.word")].filter((one) => one.dataset.object === word.dataset.object);
  for (const column of element.querySelectorAll(".column")) {
    const words = [...column.querySelectorAll("button.word")];
    const alike = words.filter((one) => one.dataset.object === word.dataset.object);
    const chosen = again ? null : column === own ? word : (alike[same.indexOf(word)] ?? alike[0] ?? null);
    words.forEach((one) => one.setAttribute("aria-pressed", String(one === chosen)));
    let shown = null;
    column.querySelectorAll("img.look").forEach((look) => {
      look.hidden = chosen === null || look.dataset.mention !== chosen.dataset.mention;
      if (!look.hidden) shown = look;
    });
    column.querySelector(".plain-picture").hidden = shown !== null;
    const caption = column.querySelector(".look-caption");
    if (shown) caption.textContent = shown.alt;
    else if (again) caption.textContent = "Choose a marked word to see where it looked.";
    else caption.textContent = `“${word.dataset.object}” is not named on this side.`;
  }
});
