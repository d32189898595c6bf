// One key or tap for each object; what was said is on the disk before it is shown as said.
const told = document.getElementById("told");
const objects = [...document.querySelectorAll(".object")];
const picture = Number(document.body.dataset.picture);
const dialog = document.getElementById("merging");
const into = document.getElementById("merge-into");
const mergeButton = document.getElementById("merge");

const tell = (text, wrong = false) => { told.textContent = text; told.classList.toggle("error", wrong); };

async function ask(where, what) {
  try {
    const answer = await fetch(where, { method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify(what) });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error);
    tell("");
    return said;
  } catch (problem) {
    tell(problem instanceof TypeError || problem instanceof SyntaxError
      ? "Not saved: farsight judge does not answer. Is it still running?" : `Not saved: ${problem.message}`, true);
    return null;
  }
}

const current = () => objects.find((one) => one.getAttribute("aria-current") === "true");

function moveTo(object) {
  current()?.removeAttribute("aria-current");
  if (!object) return;
  object.setAttribute("aria-current", "true");
  object.scrollIntoView({ block: "nearest" });
}

function ready() {
  const open = objects.some((one) => !one.dataset.said);
  document.body.classList.toggle("ready", !open);
  return !open;
}

async function judge(object, verdict) {
  const said = await ask("judge", { picture, object: object.dataset.object, verdict });
  if (said === null) return;
  object.dataset.said = verdict;
  for (const one of object.querySelectorAll("[data-verdict]"))
    one.setAttribute("aria-pressed", String(one.dataset.verdict === verdict));
  if (ready()) {
    const pictures = document.querySelector("progress");
    pictures.value = pictures.max - said.left;
    document.getElementById("judged").textContent = pictures.max - said.left;
  }
  const at = objects.indexOf(object);
  moveTo([...objects.slice(at), ...objects.slice(0, at)].find((one) => !one.dataset.said) ?? object);
}

function merging(object) {
  document.getElementById("merged-word").textContent = object.dataset.object;
  dialog.dataset.word = object.dataset.object;
  for (const option of into.options) option.hidden = option.disabled = option.value === object.dataset.object;
  into.value = "";
  mergeButton.disabled = true;
  dialog.showModal();
}

async function merge() {
  if (await ask("merge", { word: dialog.dataset.word, into: into.value }) !== null) location.reload();
  dialog.close();
}

for (const object of objects) {
  for (const button of object.querySelectorAll("[data-verdict]"))
    button.addEventListener("click", () => judge(object, button.dataset.verdict));
  object.querySelector(".same").addEventListener("click", () => merging(object));
}
into?.addEventListener("change", () => { mergeButton.disabled = !into.value; });
mergeButton?.addEventListener("click", merge);
document.getElementById("merge-cancel")?.addEventListener("click", () => dialog.close());
for (const button of document.querySelectorAll(".separate"))
  button.addEventListener("click", async () => {
    if (await ask("separate", { word: button.dataset.word }) !== null) location.reload();
  });

const verdicts = { 1: "there", 2: "not there", 3: "unsure", y: "there", n: "not there", u: "unsure" };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog?.open || !objects.length) return;
  const object = current() ?? objects[0];
  const at = objects.indexOf(object);
  const turn = { ArrowRight: "next", ArrowLeft: "previous" }[event.key];
  if (verdicts[event.key]) judge(object, verdicts[event.key]);
  else if (event.key === "ArrowDown" || event.key === "j") moveTo(objects[Math.min(at + 1, objects.length - 1)]);
  else if (event.key === "ArrowUp" || event.key === "k") moveTo(objects[Math.max(at - 1, 0)]);
  else if (event.key === "s") merging(object);
  else if (turn) document.getElementById(turn).click();
  else if (event.key === "Enter" && !event.target.closest("button, a")) document.getElementById("next").click();
  else return;
  event.preventDefault();
});

if (objects.length) {
  ready();
  moveTo(objects.find((one) => !one.dataset.said) ?? objects[0]);
}
