"use strict";
// One question at a time; answers are kept in `answers` and leave the page only as the file that `save` makes.
const study = JSON.parse(document.getElementById("study").textContent);
const at = (id) => document.getElementById(id);
const form = at("question");
const answers = new Map(); // question -> {answer, shown, answered}, times in seconds since the start
let participant = "", started = 0, current = 0, saved = true;

// FNV-1a, 32 bits
const digest = (text) => new TextEncoder().encode(text).reduce((found, byte) => Math.imul(found ^ byte, 0x01000193) >>> 0, 0x811c9dc5);

// A participant's own order of the questions: the same code gives the same one, in the same study. One digest alone leaves codes that
// differ in a letter with orders that are alike.
function order() {
  const place = ({ id }) => digest(String(digest(`${id} ${study.study} ${participant}`)));
  study.questions.sort((a, b) => place(a) - place(b) || (a.id < b.id ? -1 : 1));
}

const seconds = () => (performance.now() - started) / 1000;

function show(id) {
  for (const part of ["welcome", "question", "end"]) at(part).hidden = part !== id;
  window.scrollTo(0, 0);
}

function layer(picture, says, alt) {
  const box = document.createElement("div"), image = new Image(), caption = document.createElement("span");
  image.src = study.pictures[picture];
  image.alt = alt;
  caption.textContent = says;
  box.append(image, caption);
  return box;
}

function animation([before, after], index) {
  const figure = document.createElement("figure");
  figure.className = "flip";
  figure.append(layer(before, "original", `picture ${index + 1}, original`), layer(after, "changed", `picture ${index + 1}, changed`));
  return figure;
}

function ask(number) {
  current = number;
  const question = study.questions[number], known = answers.get(question.id) ?? { answer: "", shown: seconds(), answered: null };
  answers.set(question.id, known);
  for (const place of form.querySelectorAll("[data-place]")) place.replaceChildren(...question.places[place.dataset.place].map(animation));
  form.reset();
  form.elements.answer.value = known.answer;
  at("number").textContent = `Question ${number + 1} of ${study.questions.length}`;
  at("progress").max = study.questions.length;
  at("progress").value = number;
  at("back").disabled = number === 0;
  at("next").textContent = number + 1 < study.questions.length ? "Next" : "Finish";
  show("question");
  (at("words") ?? at("number")).focus({ preventScroll: true });
}

at("welcome").addEventListener("submit", (event) => {
  event.preventDefault();
  participant = at("participant").value;
  started = performance.now();
  order();
  ask(0);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const known = answers.get(study.questions[current].id), answer = form.elements.answer.value.trim().replace(/\s+/g, " ");
  if (answer !== known.answer) Object.assign(known, { answer, answered: seconds() });
  saved = false;
  if (current + 1 < study.questions.length) return ask(current + 1);
  show("end");
  at("thanks").focus();
});

at("back").addEventListener("click", () => ask(current - 1));
at("review").addEventListener("click", () => ask(study.questions.length - 1));

at("pause").addEventListener("click", () => {
  const still = document.body.classList.toggle("still");
  at("pause").textContent = still ? "Play" : "Pause";
  at("pause").setAttribute("aria-pressed", String(still));
});

// a and b choose; Enter, in a field of the form, goes on
document.addEventListener("keydown", (event) => {
  if (form.hidden || event.ctrlKey || event.metaKey || event.altKey || event.target.type === "text") return;
  const choice = form.querySelector(`input[type=radio][value="${CSS.escape(event.key.toUpperCase())}"]`);
  if (!choice) return;
  choice.checked = true;
  choice.focus();
});

const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

function csv() {
  const rows = study.questions.map(({ id }) => {
    const { answer, shown, answered } = answers.get(id);
    return [study.study, study.kind, participant, id, answer, shown.toFixed(2), answered.toFixed(2)];
  });
  return [study.columns, ...rows].map((row) => row.map(quoted).join(",") + "\r\n").join("");
}

at("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
  link.download = `${study.kind}-${study.study}-${participant}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000); // after every browser has begun to read it
  saved = true;
  at("saved").textContent = `Saved as ${link.download}. You may close the page once you have sent it.`;
});

window.addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});
