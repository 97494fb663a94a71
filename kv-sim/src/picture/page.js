"use strict";
// Everything works on the elements that are there; texts go in and out as text.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);
const view = one("view"), sheet = one("sheet"), body = one("body"), panel = one("detail");
const root = document.documentElement;

// Titles become the panel's text: a browser's own would come late, and twice.
const details = new Map();
for (const title of all("svg.col title")) {
  details.set(title.parentNode, title.textContent);
  title.remove();
}
const detailOf = (shape) =>
  details.get(shape) ?? details.get(one(shape.dataset.see)) ?? "";

// What belongs together is shown together.
const groups = new Map();
for (const shape of all("[data-g]")) {
  const group = groups.get(shape.dataset.g) ?? [];
  group.push(shape);
  groups.set(shape.dataset.g, group);
}
let hot = [], pinned = false;
const heat = (group) => {
  hot.forEach((shape) => shape.classList.remove("hot"));
  hot = groups.get(group) ?? [];
  hot.forEach((shape) => shape.classList.add("hot"));
};
const tell = (shape, x, y) => {
  panel.textContent = detailOf(shape);
  panel.hidden = panel.textContent === "";
  const { offsetWidth: width, offsetHeight: height } = panel;
  panel.style.left = Math.max(4, Math.min(x + 16, innerWidth - width - 44)) + "px";
  panel.style.top = Math.max(4, y + 18 + height > innerHeight ? y - height - 12 : y + 18) + "px";
};
const release = () => {
  pinned = false;
  panel.classList.remove("pinned");
  panel.hidden = true;
  heat(null);
};
const cursor = document.createElement("div");
cursor.id = "cursor";
body.append(cursor);
const zoomed = () => Number(sheet.style.zoom || 1);
body.addEventListener("mousemove", (event) => {
  cursor.style.top = (event.clientY - body.getBoundingClientRect().top) / zoomed() + "px";
  if (pinned) return;
  const shape = event.target.closest("svg.col g");
  if (!shape) return release();
  heat(shape.dataset.g);
  tell(shape, event.clientX, event.clientY);
});
body.addEventListener("mouseleave", () => pinned || release());
body.addEventListener("click", (event) => {
  if (event.target.closest("button")) return;
  const shape = event.target.closest("svg.col g");
  release();
  if (!shape) return;
  heat(shape.dataset.g);
  tell(shape, event.clientX, event.clientY);
  pinned = true;
  panel.classList.add("pinned");
});

// Columns and kinds of messages come and go.
for (const box of all("[data-lane]", document.querySelector("nav"))) {
  box.addEventListener("change", () => {
    for (const column of all(`#sheet [data-lane="${box.dataset.lane}"]`)) {
      column.style.display = box.checked ? "" : "none";
    }
  });
}
// Only one client, and all that are none.
for (const button of all("[data-only]")) {
  button.addEventListener("click", () => {
    const clients = new Set(all("#sheet .calls").map((column) => column.dataset.lane));
    for (const box of all("nav [data-lane]")) {
      const { lane } = box.dataset;
      if (clients.has(lane) && box.checked !== (lane === button.dataset.only)) box.click();
    }
  });
}
for (const box of all("[data-kind]")) {
  box.addEventListener("change", () => {
    sheet.classList.toggle("no-" + box.dataset.kind, !box.checked);
  });
}

// Going somewhere.
const show = (element) => {
  if (!element) return;
  const box = element.getBoundingClientRect(), port = view.getBoundingClientRect();
  view.scrollTop += box.top - port.top - port.height / 2;
  if (box.left < port.left + 100 || box.right > port.right) {
    view.scrollLeft += box.left - port.left - port.width / 3;
  }
};
const broken = all(".banner.broken");
let at = -1;
const jump = () => {
  if (broken.length === 0) return;
  at = (at + 1) % broken.length;
  show(broken[at].querySelector("p"));
};
one("jump")?.addEventListener("click", jump);
for (const button of all("[data-to]")) {
  button.addEventListener("click", () => {
    release();
    heat(button.dataset.to);
    pinned = true;
    show(hot.find((shape) => shape.id) ?? hot[0]);
  });
}
if (location.hash === "#broken") jump();

let hits = [], hit = -1, wanted = "";
const field = one("find"), count = one("found");
const find = () => {
  const text = field.value.toLowerCase();
  if (text !== wanted) {
    hits.forEach((shape) => shape.classList.remove("found"));
    const has = ([shape, detail]) =>
      shape.querySelector("text") && (detail + shape.textContent).toLowerCase().includes(text);
    hits = text ? [...details].filter(has).map(([shape]) => shape) : [];
    hits.sort((a, b) => a.querySelector("text").getAttribute("y") - b.querySelector("text").getAttribute("y"));
    [wanted, hit] = [text, -1];
  }
  if (hits.length > 0) {
    hits[hit]?.classList.remove("found");
    hit = (hit + 1) % hits.length;
    hits[hit].classList.add("found");
    show(hits[hit]);
  }
  count.textContent = text ? `${hit + 1}/${hits.length}` : "";
};
field.addEventListener("keydown", (event) => event.key === "Enter" && find());
field.addEventListener("search", () => field.value === "" && find());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") release();
  if (event.target === field) return;
  if (event.key === "/") {
    event.preventDefault();
    field.focus();
  } else if (event.key === "b") jump();
});

// Size and light.
const zoom = (by) => {
  sheet.style.zoom = Math.min(3, Math.max(0.3, zoomed() * by));
  follow();
};
one("smaller").addEventListener("click", () => zoom(1 / 1.2));
one("larger").addEventListener("click", () => zoom(1.2));
one("light").addEventListener("click", () => {
  const dark = root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.style.colorScheme = dark === "dark" ? "light" : "dark";
});

// The overview shows where in the whole the view is, and leads there.
const overview = one("overview"), pane = one("window");
const follow = () => {
  pane.style.top = (100 * view.scrollTop) / view.scrollHeight + "%";
  pane.style.height = (100 * view.clientHeight) / view.scrollHeight + "%";
};
view.addEventListener("scroll", follow);
addEventListener("resize", follow);
const lead = (event) => {
  const box = overview.getBoundingClientRect();
  view.scrollTop = ((event.clientY - box.top) / box.height) * view.scrollHeight - view.clientHeight / 2;
};
overview.addEventListener("pointerdown", (event) => {
  overview.setPointerCapture(event.pointerId);
  lead(event);
});
overview.addEventListener("pointermove", (event) => event.buttons && lead(event));
follow();
