"use strict";
/* What the pages of a conversation do beyond plain HTML. The server renders every state; this sends forms without
   leaving the page, tries again when the network is gone, keeps drafts, shows answers as they come, and knows the keys.

   <form data-live>           is sent from here; the page that comes back takes this one's place
   <form data-draft="name">   keeps what is written or ticked in it until it has arrived
   <main> [data-stream=url]   answers are coming from this address
   [data-focus]               where the keyboard goes when the page has changed
   [data-key="u"]             this key presses the button */

const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const here = () => location.pathname;

/* Storage of this browser, each worker's apart; without it (private windows) nothing is kept, and all else works. */
const named = (name) => `${find(".who")?.textContent ?? ""}:${name}`;
const kept = {
  get(name) { try { return JSON.parse(localStorage.getItem(named(name))); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(named(name), JSON.stringify(value)); } catch { /* not kept */ } },
  drop(name) { try { localStorage.removeItem(named(name)); } catch { /* was not kept */ } },
};

function say(text) {
  find("#notice").textContent = text;
}

/* ---- the page that came back takes the place of this one ---- */

async function show(response) {
  const next = new DOMParser().parseFromString(await response.text(), "text/html");
  const main = find("main", next);
  if (!main) return location.reload();
  find("main").replaceWith(document.adoptNode(main));
  find("meta[name=csrf]").content = find("meta[name=csrf]", next).content;
  document.title = next.title;
  document.body.className = next.body.className;
  if (response.redirected) history.replaceState(null, "", response.url);
  arrive(true);
}

async function refresh() {
  try {
    const response = await fetch(here(), { headers: { Accept: "text/html" } });
    if (atLogin(response)) return signInAgain();
    if (response.status >= 500) throw new Error();
    say("");
    await show(response);
  } catch {
    say("No connection. Trying again…");
    await wait(2000);
    await refresh();
  }
}

const atLogin = (response) => response.redirected && new URL(response.url).pathname === "/login";
/* A step that comes first (a consent whose text has changed, a pause): the form was not taken, and stays in the outbox. */
const refused = (response) => response.redirected && new URL(response.url).searchParams.has("unsent");
const signInAgain = () => location.assign(`/login?next=${encodeURIComponent(here())}`);

/* ---- sending: nothing leaves the outbox before the server has said that it is stored ---- */

const outbox = () => `outbox:${find("main").dataset.talk || here()}`;
let sending = false;
const LONGEST = 1e9; // milliseconds

function send(form, button) {
  if (sending) return;
  const body = [...new FormData(form, button)];
  const seen = form.dataset.seen && kept.get(form.dataset.seen);
  const taken = Date.now() - seen;
  // Not what a clock says that was set back, or a turn of last week: the server refuses it, and the choice would be lost.
  if (seen && taken >= 0 && taken <= LONGEST) body.push(["milliseconds", String(taken)]);
  const drops = [form.dataset.draft, form.dataset.seen].filter(Boolean);
  const parcel = { id: `${Date.now()}.${Math.random()}`, action: form.getAttribute("action"), body, drops };
  kept.set(outbox(), parcel);
  return deliver(parcel);
}

async function deliver(parcel) {
  sending = true;
  const box = outbox();
  lock(true);
  try {
    for (let pause = 500, stale = false; ; pause = Math.min(2 * pause, 8000)) {
      const response = await post(parcel);
      if (response && atLogin(response)) return signInAgain();
      if (response && refused(response)) return location.assign(response.url);
      if (response && response.status === 403 && !stale) {
        // The page was older than the sign-in: the answer brings the token of the new one.
        stale = true;
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
        find("meta[name=csrf]").content = find("meta[name=csrf]", fresh).content;
        continue;
      }
      if (response && response.status < 500 && response.status !== 429) {
        // Another tab may have put its own parcel there meanwhile.
        if (kept.get(box)?.id === parcel.id) kept.drop(box);
        if (response.ok) parcel.drops.forEach(kept.drop);
        kept.set("sent", { at: here(), time: Date.now() });
        say("");
        sending = false;
        return await show(response);
      }
      say(response ? "The server is busy. What you wrote is kept; trying again…" : "No connection. What you wrote is kept; trying again…");
      await wait(Math.max(pause, 1000 * (response?.headers.get("Retry-After") ?? 0)));
    }
  } finally {
    sending = false;
    lock(false);
  }
}

async function post(parcel) {
  const body = new URLSearchParams(parcel.body);
  body.set("csrf", find("meta[name=csrf]").content);
  try {
    // Browsers refuse to keep more than 64 KiB alive behind a page that is left.
    const keepalive = body.toString().length < 60000;
    return await fetch(parcel.action, { method: "POST", body, keepalive, headers: { Accept: "text/html" } });
  } catch {
    return null;
  }
}

function lock(locked) {
  for (const button of findAll("form[data-live] button")) button.disabled = locked;
}

/* ---- drafts ---- */

function keepDraft(form) {
  const fields = [...new FormData(form)].filter(([name]) => name !== "csrf" && name !== "key");
  kept.set(form.dataset.draft, fields);
}

const touched = (field) => field.matches("input, textarea") && (field.value !== field.defaultValue || field.checked !== field.defaultChecked);

/* What was written or ticked before this script had come is newer than the draft. */
function restoreDraft(form) {
  const newer = new Set([...form.elements].filter(touched).map((field) => field.name));
  for (const [name, value] of kept.get(form.dataset.draft) || []) {
    if (newer.has(name)) continue;
    for (const field of findAll(`[name="${CSS.escape(name)}"]`, form)) {
      if (field.type === "radio" || field.type === "checkbox") field.checked ||= field.value === value;
      else if (field.type !== "hidden") field.value = value;
    }
  }
  if (newer.size) keepDraft(form);
}

/* ---- answers as they come ---- */

let stream = null;

function follow(address) {
  stream?.close();
  stream = new EventSource(address);
  const sides = ["a", "b"].map((side) => [side, find(`#answer-${side} .text`)]);
  // A connection that was lost begins again from the first word.
  stream.addEventListener("open", () => sides.forEach(([, text]) => { text.textContent = ""; }));
  stream.addEventListener("more", (event) => {
    const more = JSON.parse(event.data);
    for (const [side, text] of sides) {
      text.append(more[side]);
      text.classList.remove("waiting");
    }
  });
  const over = () => { stream.close(); stream = null; refresh(); };
  stream.addEventListener("answered", over);
  stream.addEventListener("lost", over);
  stream.addEventListener("error", async () => {
    if (stream?.readyState !== EventSource.CLOSED) return; // the browser connects again by itself
    stream = null;
    say("The answers cannot be had at the moment. Trying again…");
    await wait(5000);
    refresh();
  });
}

/* ---- arriving on a page, new or changed ---- */

function arrive(changed) {
  const main = find("main");
  findAll("form[data-draft]").forEach(restoreDraft);
  findAll("form[data-seen]").forEach((form) => { if (!kept.get(form.dataset.seen)) kept.set(form.dataset.seen, Date.now()); });
  findAll(".scale").forEach(describe);
  veil();
  const source = find("[data-stream]", main);
  if (source) follow(source.dataset.stream);
  else { stream?.close(); stream = null; }
  const focus = find("[data-focus]", main);
  if ((changed || focus?.matches("[data-first]")) && focus) focus.focus({ preventScroll: true });
  if (focus) focus.scrollIntoView({ block: "nearest" });
}

/* Answers behind a veil, for those who wish it. */
function veil() {
  const box = find("[data-veil]");
  if (!box) return;
  box.checked = kept.get("veil") === true;
  findAll(".card, .said.assistant").forEach((said) => said.classList.toggle("veiled", box.checked));
}

/* The choice in words, and the card that it prefers. */
function describe(scale) {
  const chosen = find("[name=position]:checked", scale);
  const words = chosen ? chosen.labels[0].querySelector(".hidden-label").textContent : "";
  find(".verdict").textContent = words;
  findAll(".card").forEach((card) => card.classList.toggle("preferred", !!chosen && card.id === `answer-${chosen.value <= 4 ? "a" : "b"}`));
}

const writes = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox])");
const buttonOf = (key) => find(`[data-key="${CSS.escape(key)}"]:not(:disabled)`);

/* The keyboard is in the empty composer after a choice. There a button's key may begin a message as well: it presses the
   button if nothing follows it. */
const FOLLOWS = 800; // milliseconds

let unfollowed = 0;

function pressUnlessFollowed(composer, key) {
  unfollowed = setTimeout(() => {
    const button = buttonOf(key);
    if (!button || document.activeElement !== composer || composer.value !== key) return;
    composer.value = "";
    keepDraft(composer.form);
    button.click();
  }, FOLLOWS);
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-live]")) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-veil]")) { kept.set("veil", event.target.checked); veil(); }
  const form = event.target.closest("form");
  if (form?.dataset.draft) keepDraft(form);
  const scale = event.target.closest(".scale");
  if (scale) describe(scale);
});

document.addEventListener("click", (event) => {
  const again = event.target.closest("[data-again]");
  if (again) {
    again.disabled = true;
    follow(again.dataset.again);
  }
  if (event.target.closest("[data-unveil]")) event.target.closest(".veiled").classList.remove("veiled");
  if (event.target.closest("[data-forget]")) forget();
});

/* Who signs out leaves no drafts behind for the next at this browser. */
function forget() {
  try { localStorage.clear(); } catch { /* nothing was kept */ }
}

document.addEventListener("keydown", (event) => {
  clearTimeout(unfollowed);
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target;
  if (target.matches("textarea[data-enter]") && event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    return target.form.requestSubmit();
  }
  if (writes(target)) {
    if (target.matches("textarea[data-enter]") && target.value === "" && buttonOf(event.key)) pressUnlessFollowed(target, event.key);
    return;
  }
  const step = find(`.scale:not(:disabled) input[value="${CSS.escape(event.key)}"]`);
  if (step) {
    step.checked = true;
    step.focus();
    step.dispatchEvent(new Event("input", { bubbles: true }));
  } else if (event.key === "Enter" && target.matches("body, main, fieldset, input[type=radio]")) {
    const form = find(".scale input:checked")?.form;
    if (form) { event.preventDefault(); form.requestSubmit(); }
  } else {
    const button = buttonOf(event.key);
    if (button) { event.preventDefault(); button.click(); }
  }
});

/* Another tab has sent something for this very page: show what stands now. */
addEventListener("storage", (event) => {
  if (event.key === named("sent") && kept.get("sent")?.at === here() && !sending) refresh();
});
addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });

arrive(false);
const unsent = kept.get(outbox());
if (unsent) deliver(unsent);
