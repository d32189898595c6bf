element.addEventListener("click", (event) => {
  const scene = event.target.closest("button.scene");
  if (scene) trigger("click", { index: Number(scene.dataset.index) });
});
