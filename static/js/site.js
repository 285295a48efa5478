"use strict";

// Every page works without this file. It makes dialogs modal, copies, looks at secrets, lets
// toasts leave, and applies the theme at once.

const TOAST_SECONDS = 6;
const MOST_TOASTS = 3;

const toasts = document.getElementById("toasts");
const dialogs = document.getElementById("dialogs");

// Toasts ----------------------------------------------------------------------------------

/** A success or a note leaves after a while, unless someone is reading it; the rest stay. */
function letLeave(toast) {
  if (toast.dataset.seen) return;
  toast.dataset.seen = "true";
  if (toast.getAttribute("role") !== "status") return;
  let timer = 0;
  const start = () => {
    timer = window.setTimeout(() => toast.remove(), TOAST_SECONDS * 1000);
  };
  for (const event of ["mouseenter", "focusin"])
    toast.addEventListener(event, () => window.clearTimeout(timer));
  for (const event of ["mouseleave", "focusout"]) toast.addEventListener(event, start);
  start();
}

/** The same thing said again takes the place of the first; of many, the last few are kept. */
function tidy() {
  const said = new Set();
  for (const toast of [...toasts.querySelectorAll(".toast")].reverse()) {
    const text = toast.querySelector("p").textContent;
    if (said.has(text) || said.size === MOST_TOASTS) toast.remove();
    else said.add(text);
  }
}

function showError(text) {
  const toast = document.getElementById("toast-template").content.firstElementChild.cloneNode(true);
  toast.querySelector("p").textContent = text;
  toasts.append(toast);
}

new MutationObserver(() => {
  tidy();
  toasts.querySelectorAll(".toast").forEach(letLeave);
}).observe(toasts, { childList: true, subtree: true });
// Screen readers announce what is added to a live region, not what it was loaded with.
toasts.append(...toasts.children);

document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  const id = xhr.getResponseHeader("X-Request-Id");
  const reference = id ? ` (request ${id})` : "";
  const reasons = {
    403: "You may not do this, or this page has been open for too long. Reload it and try again.",
    404: "This no longer exists. Reload the page to see what is there now.",
    413: "That is too large to send: a form may have 1 MB. Was it the key that was pasted?",
    429: "That was too often in a short time. Wait a minute and try again.",
  };
  showError(
    reasons[xhr.status] ??
      `That did not work: the server answered ${xhr.status}${reference}. Reload the page and try again.`,
  );
});
for (const event of ["htmx:sendError", "htmx:timeout"])
  document.addEventListener(event, () =>
    showError("MegaBrain could not be reached. Check your connection and try again."),
  );

// Dialogs ---------------------------------------------------------------------------------

let opener = null;

/** Toasts live inside the open dialog: what is outside a modal is behind it and inert. */
function placeToasts(dialog) {
  (dialog ?? document.body).append(toasts);
}

/** What opened the dialog, or what has replaced it; nothing if it is gone, as after a deletion. */
function whatOpened() {
  if (opener.isConnected) return opener;
  const href = opener.getAttribute("href");
  return (
    (opener.id && document.getElementById(opener.id)) ||
    (href && document.querySelector(`a[href="${CSS.escape(href)}"]`)) ||
    null
  );
}

/** The focus goes back to what opened the dialog, or to the menu that has closed over it. */
function focusBack() {
  const found = whatOpened();
  const menu = found?.closest("details")?.querySelector("summary");
  const places = [found, menu, document.getElementById("main")];
  places.find((place) => place?.checkVisibility())?.focus();
}

function closeDialog() {
  placeToasts(null);
  dialogs.replaceChildren();
  // The browser tells of the end a moment after it: who has moved on since is not called back.
  if (opener && document.activeElement === document.body) focusBack();
  opener = null;
}

function openDialog() {
  const dialog = dialogs.querySelector("dialog");
  if (!dialog) {
    if (opener) closeDialog();
    return;
  }
  if (dialog.open) return;
  dialog.addEventListener("close", () => {
    if (dialog.isConnected) closeDialog();
  });
  dialog.showModal();
  placeToasts(dialog);
}

document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (detail.target === dialogs && !dialogs.contains(detail.elt)) opener = detail.elt;
});
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  // Where nothing is swapped the dialog stays open, and with it what it says.
  if (detail.target === dialogs && detail.shouldSwap) placeToasts(null);
});
document.addEventListener("htmx:afterSettle", ({ detail }) => {
  if (detail.target === dialogs) openDialog();
});

// A control that is disabled while it waits loses the focus; what replaces it gets it back.
let focused = "";
document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  const active = document.activeElement;
  if (active?.id && detail.elt.contains(active)) focused = active.id;
});
document.addEventListener("htmx:afterSettle", () => {
  const control = document.getElementById(focused);
  if (control?.disabled) return; // What settled was something else: it waits still.
  if (document.activeElement === document.body) control?.focus();
  focused = "";
});

// What is wrong with a field is read with it, and the field is where it can be mended.
document.addEventListener("htmx:afterSettle", ({ detail: { target } }) => {
  const field = target.dataset.about && document.getElementById(target.dataset.about);
  if (!field) return;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", target.id);
  field.focus();
});

// A page restored from the back/forward cache would show an old dialog or toast.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) closeDialog();
});

// What is pressed -------------------------------------------------------------------------

async function copy(button) {
  const source = button.closest(".code, .copyable")?.querySelector("[data-copy-text]");
  if (!source) return;
  const word = button.querySelector("[data-copy-word]");
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Without permission (or over plain http) the text is selected, ready for the keyboard.
    window.getSelection().selectAllChildren(source);
    if (word) word.textContent = "Press Ctrl+C";
    return;
  }
  button.dataset.copied = "true";
  if (word) word.textContent = "Copied";
  window.setTimeout(() => {
    delete button.dataset.copied;
    if (word) word.textContent = "Copy";
  }, 2000);
}

function reveal(button) {
  const input = document.getElementById(button.dataset.reveal);
  const shown = input.type === "text";
  input.type = shown ? "password" : "text";
  button.setAttribute("aria-pressed", String(!shown));
  button.setAttribute("aria-label", shown ? "Show what is typed" : "Hide what is typed");
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, a");
  for (const menu of document.querySelectorAll("details[data-menu][open]"))
    if (!menu.contains(event.target)) menu.open = false;
  if (!target) return;
  if ("copy" in target.dataset) copy(target);
  if ("reveal" in target.dataset) reveal(target);
  if ("dismiss" in target.dataset) target.closest(".toast").remove();
  if ("close" in target.dataset && target.closest("dialog")) {
    event.preventDefault();
    target.closest("dialog").close();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// Search as you type in a list that is on the page: <input data-filter="#list">.
document.addEventListener("input", ({ target }) => {
  if (!target.dataset.filter) return;
  const words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of document.querySelector(target.dataset.filter).children) {
    const text = item.textContent.toLowerCase();
    item.hidden = !words.every((word) => text.includes(word));
  }
});

// A credential in JSON is looked at while it is typed: <textarea data-shapes="[{field: pattern}]"
// data-look="id of where to say it">. Nothing leaves the page for that.
document.addEventListener("input", ({ target }) => {
  if (!target.dataset.shapes) return;
  document.getElementById(target.dataset.look).textContent = looks(
    target.value,
    JSON.parse(target.dataset.shapes),
  );
});

/** What can be said of a credential so far. Of the forms it may have, the likeliest counts. */
function looks(text, shapes) {
  if (!text.trim()) return "";
  let typed;
  try {
    typed = JSON.parse(text);
  } catch {
    return "Not complete JSON yet.";
  }
  if (typeof typed !== "object" || !typed || Array.isArray(typed))
    return "This is JSON, but not an object in braces.";
  const shared = (shape) => Object.keys(shape).filter((name) => name in typed).length;
  const shape = shapes.reduce((best, each) => (shared(each) > shared(best) ? each : best));
  const missing = Object.keys(shape).filter((name) => !typed[name]);
  if (missing.length) return `Still missing: ${missing.join(", ")}.`;
  const odd = Object.keys(shape).filter((name) => !new RegExp(shape[name]).test(typed[name]));
  return odd.length ? `Does not look right yet: ${odd.join(", ")}.` : "This looks complete.";
}

// A proposal for another field, until that says something of its own: <input data-proposes="#slug">.
document.addEventListener("input", ({ target }) => {
  const field = target.dataset.proposes && document.querySelector(target.dataset.proposes);
  if (!field) return;
  const before = field.dataset.proposal ?? "";
  field.dataset.proposal = slugOf(target.value);
  if (field.value === before) field.value = field.dataset.proposal;
});

// These do not come apart into a letter and its mark.
const LETTERS = { ł: "l", ø: "o", đ: "d", ð: "d", þ: "th", ß: "ss", æ: "ae", œ: "oe", ı: "i" };

/** `Ärzte & Co.` as `arzte-co`. */
function slugOf(name) {
  const plain = name.toLowerCase().replace(/[łøđðþßæœı]/g, (letter) => LETTERS[letter]);
  const letters = plain.normalize("NFKD").replace(/\p{M}/gu, "");
  return letters.replace(/[^a-z0-9]+/g, "-").slice(0, 34).replace(/^-|-$/g, "");
}

// Theme -----------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-switch]");
  if (!form || !event.submitter) return;
  event.preventDefault();
  const theme = event.submitter.value;
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  for (const button of form.elements)
    if (button.name === "theme")
      button.setAttribute("aria-pressed", String(button === event.submitter));
  fetch(form.action, {
    method: "POST",
    body: new FormData(form, event.submitter),
    redirect: "manual",
  });
});
