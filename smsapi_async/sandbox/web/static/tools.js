// Functions of the page without a state of their own. They write text into the document as text only, never as HTML.

const ICONS = {
  chat: "M5 6.5h14a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2h-7l-4.5 3.5v-3.5H5a2 2 0 0 1-2-2v-6a2 2 0 0 1 2-2z",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16.2 16.2 21 21",
  theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z",
  bin: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13",
  play: "M7 5l12 7-12 7z",
  pause: "M8 5v14M16 5v14",
  sent: "M4 12.5l5 5L20 6.5",
  delivered: "M2 12.5l5 5L17 7M11 16.5l1.2 1.2L22.5 7",
  wait: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.5l3 1.8",
  later: "M5 6h14v14H5zM5 10.5h14M9 3.5V7M15 3.5V7",
  failed: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v5M12 16.2v.1",
  unknown: "M9.2 9a3 3 0 1 1 4.2 2.8c-1 .5-1.4 1.1-1.4 2.2M12 17.5v.1",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  up: "M12 19V5M6 11l6-6 6 6",
  back: "M15 5l-7 7 7 7",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5",
  bolt: "M13 3 5 13.5h6L10 21l8-10.5h-6z",
  purse: "M4 7h15a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4zM4 7V6a1 1 0 0 1 1-1h11M16 13h.1",
  plug: "M9 3v5M15 3v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4",
  close: "M6 6l12 12M18 6 6 18",
};

// The states of a segment: a label, the class of the colour, and the icon.
export const STATES = {
  "-1": ["sent", "s-quiet", "sent"],
  "-2": ["queued", "s-quiet", "wait"],
  "-3": ["wrong date", "s-bad", "failed"],
  "-20": ["sent to the phone", "s-quiet", "sent"],
  "-30": ["sent to the gateway", "s-quiet", "wait"],
  "-40": ["waiting", "s-quiet", "wait"],
  "-97": ["deleted", "s-bad", "failed"],
  "-98": ["stopped", "s-warn", "unknown"],
  "-100": ["charged", "s-quiet", "wait"],
  "-200": ["error", "s-bad", "failed"],
  0: ["delivered", "s-good", "delivered"],
  8: ["system error", "s-bad", "failed"],
  10: ["wrong source address", "s-bad", "failed"],
  11: ["wrong destination address", "s-bad", "failed"],
  41: ["number not allowed", "s-bad", "failed"],
  42: ["rejected by the SMS centre", "s-bad", "failed"],
  46: ["expired", "s-bad", "failed"],
  47: ["deleted", "s-bad", "failed"],
  48: ["rejected by the platform", "s-bad", "failed"],
  69: ["rejected", "s-bad", "failed"],
  99: ["unknown", "s-warn", "unknown"],
  255: ["not in the database yet", "s-quiet", "wait"],
};
export const CHANGES = [0, -1, -2, 46, 42, 11, 10, 41, 47, 48, 69, -97, -98, 99, 255, -3, -20, -30, -40, -100, -200, 8];
const FINAL = new Set([-200, -97, -3, 0, 8, 10, 11, 41, 42, 46, 47, 48, 69]);
const ENDINGS = {
  700: "answers each message", 901: "messages stay sent", 902: "messages stay queued", 903: "messages end with a wrong date",
  908: "messages end with a system error", 910: "messages end in state 10", 911: "messages end in state 11", 920: "messages stay in state -20",
  930: "messages stay in state -30", 940: "messages stay in state -40", 941: "messages end in state 41", 942: "messages are rejected",
  946: "messages expire", 947: "messages are deleted", 948: "messages are rejected", 955: "messages are never found", 969: "messages are rejected",
  991: "messages stay in state -100", 992: "messages end with an error", 997: "messages are deleted", 998: "messages are stopped", 999: "messages have an unknown state",
  806: "requests get code 6", 807: "requests get code 7", 808: "requests get code 8", 809: "requests get code 9",
};
const HUES = [158, 28, 262, 84, 330, 205, 50, 120];
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

export const $ = (id) => document.getElementById(id);

// Return an element. An attribute `on...` is an event listener, and `hue` is the colour of a face.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "hue") element.style.setProperty("--face", `oklch(0.62 0.12 ${value})`);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  // A select gets its value only after its options.
  if (name === "select" && attributes.value !== undefined) element.value = attributes.value;
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const FIELDS = "a[href], button, input, select, textarea, summary, [tabindex]";

// Call `change`, which replaces children of `parent`. The field with the focus keeps the focus.
function keepingFocus(parent, change) {
  const active = document.activeElement;
  const place = active && active !== parent && parent.contains(active) ? [...parent.querySelectorAll(FIELDS)].indexOf(active) : -1;
  change();
  if (place < 0 || active.isConnected) return;
  const next = parent.querySelectorAll(FIELDS)[place];
  if (next?.tagName !== active.tagName) return;
  next.focus({ preventScroll: true });
  if (next.matches("textarea, input.field:not(.count)")) next.setSelectionRange(active.selectionStart, active.selectionEnd);
}

export const refill = (parent, children) => keepingFocus(parent, () => parent.replaceChildren(...children.flat().filter(Boolean)));

const rowsOf = new WeakMap();

// Draw a list: only rows that are new, or whose signature is another one, are built.
export function keyed(parent, rows) {
  const before = rowsOf.get(parent) ?? new Map();
  const after = new Map();
  keepingFocus(parent, () => {
    for (const { key, signature, build } of rows) {
      const old = before.get(key);
      const row = old?.signature === signature ? old : { signature, element: build(old === undefined && before.size > 0) };
      if (old && old !== row) old.element.replaceWith(row.element);
      before.delete(key);
      after.set(key, row);
    }
    for (const { element } of before.values()) element.remove();
    let place = parent.firstChild;
    for (const { element } of after.values()) {
      if (element === place) place = place.nextSibling;
      else parent.insertBefore(element, place);
    }
  });
  rowsOf.set(parent, after);
}

const two = (value) => String(value).padStart(2, "0");
const shifted = (moment, minutes = 0) => new Date(new Date(moment).getTime() + minutes * 60000);
export const hour = (moment, minutes) => ((at) => `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`)(shifted(moment, minutes));
export const second = (moment) => `${hour(moment)}:${two(new Date(moment).getUTCSeconds())}`;
export const day = (moment, minutes) => ((at) => `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`)(shifted(moment, minutes));
export const offset = (minutes) => `UTC${minutes < 0 ? "−" : "+"}${Math.floor(Math.abs(minutes) / 60)}${minutes % 60 ? ":" + two(Math.abs(minutes) % 60) : ""}`;

export function number(digits) {
  if (/^7\d{10}$/.test(digits)) return digits.replace(/^7(\d{3})(\d{3})(\d\d)(\d\d)$/, "+7 $1 $2-$3-$4");
  if (/^375\d{9}$/.test(digits)) return digits.replace(/^375(\d\d)(\d{3})(\d\d)(\d\d)$/, "+375 $1 $2-$3-$4");
  if (/^44\d{10}$/.test(digits)) return digits.replace(/^44(\d{4})(\d{6})$/, "+44 $1 $2");
  return /^\d{7,15}$/.test(digits) ? `+${digits}` : digits;
}

export const face = (digits) => h("span", { class: "face", hue: HUES[(Number(digits.slice(-4)) || 0) % HUES.length], "aria-hidden": "true" }, digits.slice(-2));
export const money = (value) => Number(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
export const ending = (digits) => (ENDINGS[digits.slice(-3)] ? `ends in ${digits.slice(-3)}: ${ENDINGS[digits.slice(-3)]}` : "this phone receives everything");
export const states = (state) => STATES[state] ?? [`state ${state}`, "s-warn", "unknown"];

// The gateway plans the states of a segment when it accepts the message. So ticks need no events, only the clock.
export function stateOf(message, at) {
  let worst = null;
  for (const { steps } of message.segments) {
    const [since, state] = steps.findLast(([from]) => from <= at) ?? steps[0];
    const rank = FINAL.has(state) ? (state === 0 ? 0 : 3) : 2;
    if (!worst || rank > worst.rank) worst = { rank, state, since };
  }
  if (message.due > at && worst.rank === 2) return { ...worst, label: `due ${day(message.due)} ${hour(message.due)} UTC`, tone: "s-warn", icon: "later" };
  const [label, tone, name] = states(worst.state);
  return { ...worst, label, tone, icon: name };
}

// Without HTTPS, browsers offer `navigator.clipboard` only on loopback addresses.
function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const before = document.activeElement;
  const box = h("textarea", { class: "hidden", value: text });
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus();
  return done ? undefined : Promise.reject(new Error("The browser does not allow it."));
}

export async function copy(text, button) {
  const before = button.dataset.busy ? null : [...button.childNodes];
  let done = true;
  try {
    await write(text);
  } catch {
    done = false;
  }
  if (!before) return;
  button.dataset.busy = "true";
  button.replaceChildren(icon(done ? "sent" : "failed"), done ? "copied" : "not allowed");
  setTimeout(() => { button.replaceChildren(...before); delete button.dataset.busy; }, 1200);
}

export const copier = (text, attributes, ...children) => h("button", { type: "button", ...attributes, onclick: (event) => copy(text, event.currentTarget) }, ...children);
export const copyable = (text) => h("div", { class: "copyable" }, h("pre", { tabindex: "0" }, text), copier(text, { class: "button", "aria-label": "Copy", title: "Copy" }, icon("copy")));
