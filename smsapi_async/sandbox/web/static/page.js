// The page of the sandbox. Text from messages goes into the document as text only: nothing here writes HTML.
import { connect } from "./api.js";
import { actions, conversations, fetched, grouped, now, requestOf, requestsByIndex, seen, view } from "./model.js";
import { TABS, environment, curl, faultCount, sheetOf } from "./panels.js";
import { $, copier, copyable, day, ending, face, h, hour, icon, keyed, money, number, offset, plural, refill, second, stateOf } from "./tools.js";

let api;

// --- rendering ---------------------------------------------------------------------------------------------
let planned = false;

// Draw before the next frame, so that 500 events are drawn once. A hidden page has no frames.
function render() {
  if (planned) return;
  planned = true;
  const draw = () => { planned = false; drawNow(); };
  if (document.hidden) setTimeout(draw, 100);
  else requestAnimationFrame(draw);
}

function drawNow() {
  renderLive();
  renderTitle();
  if (!seen.clock) return;
  renderTop();
  renderList();
  renderStage();
  renderPanel();
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function renderLive() {
  $("live").className = seen.live ? "live" : "live lost";
  set($("live"), seen.live ? "live" : "connecting…");
  $("trouble").hidden = seen.live || !seen.trouble;
  set($("trouble"), seen.trouble ? `${seen.trouble} The page tries to connect again every few seconds.` : "");
}

function renderTitle() {
  const unread = [...view.unread.values()].reduce((sum, each) => sum + each, 0);
  const title = unread ? `(${unread}) SMS sandbox` : "SMS sandbox";
  if (document.title !== title) document.title = title;
}

let drawnClock = "";
function renderTop() {
  const at = now();
  $("now").dateTime = new Date(at).toISOString();
  set($("date"), `${day(at)} `);
  set($("time"), second(at));
  const { running, speed } = seen.clock;
  if (drawnClock === `${running} ${speed}`) return;
  drawnClock = `${running} ${speed}`;
  $("run").setAttribute("aria-label", running ? "Pause the clock" : "Let the clock run");
  $("run").replaceChildren(icon(running ? "pause" : "play"), h("span", { class: "long" }, running ? "Pause" : "Run"));
  $("paused").hidden = running;
  $("clock").className = running ? "clock" : "clock paused";
  $("run").title = running ? "The clock runs. Pause it (space)" : "The clock stands still. Let it run (space)";
  if (![...$("speed").options].some((option) => Number(option.value) === speed)) $("speed").append(h("option", { value: speed }, `×${speed}`));
  $("speed").value = String(speed);
}

const MOST_CONVERSATIONS = 1000, MOST_ITEMS = 200;

function renderList() {
  const all = conversations(), at = now();
  for (const chip of $("filters").children) chip.setAttribute("aria-pressed", String(view.filter === chip.dataset.filter));
  const rows = all.slice(0, MOST_CONVERSATIONS).map((one) => {
    const { digits, last } = one;
    const state = last.segments ? stateOf(last, at) : null;
    const unread = view.unread.get(digits) ?? 0, current = digits === view.number;
    return { key: digits, signature: `${last.key} ${state?.label} ${unread} ${current}`, build: () => renderConversation(one, state, unread, current) };
  });
  const rest = all.length - rows.length;
  if (!rows.length) rows.push(nobody());
  if (rest) rows.push({ key: "rest", signature: rest, build: () => h("li", { class: "nobody" }, `${plural(rest, "older conversation")}: search to find them.`) });
  keyed($("conversations"), rows);
  set($("totals"), totals());
}

function nobody() {
  const digits = view.query.replace(/[^0-9]/g, "");
  const isNumber = digits.length >= 7 && /^[\d\s+()-]+$/.test(view.query);
  const text = seen.messages.length + seen.incoming.length ? "Nothing matches." : "No messages yet.";
  return {
    key: "nobody", signature: `${text} ${isNumber && digits}`,
    build: () => h("li", { class: "nobody" }, text, isNumber && h("button", { class: "button", onclick: () => choose(digits) }, `Open ${number(digits)}`)),
  };
}

let totalsVersion = -1, totalsText = "";
function totals() {
  if (totalsVersion !== seen.version) {
    totalsVersion = seen.version;
    const segments = seen.messages.reduce((sum, message) => sum + message.segments.length, 0);
    totalsText = `${plural(seen.messages.length, "message")}, ${plural(segments, "segment")}`;
  }
  return totalsText;
}

function renderConversation({ digits, last }, state, unread, current) {
  return h("li", {}, h("button", { class: "conversation", "aria-current": String(current), onclick: () => choose(digits) },
    face(digits), h("span", { class: "who" }, number(digits)), h("span", { class: "when num" }, hour(last.at)),
    h("span", { class: "said" }, !last.segments && "↩ ", h("bdi", {}, last.text)),
    h("span", { class: `mark ${state?.tone ?? ""}`, title: state?.label }, unread
      ? h("span", { class: "badge" }, String(unread), h("span", { class: "hidden" }, " unread"))
      : state && [icon(state.icon), h("span", { class: "hidden" }, state.label)])));
}

// --- the phone ---------------------------------------------------------------------------------------------
let shown = null; // the number of the phone that is drawn; "" for the empty state
let unseen = false; // whether the thread grew while it was hidden: a hidden element cannot be scrolled

function renderStage() {
  const stage = $("stage");
  if (!seen.messages.length && !seen.incoming.length && !view.number) {
    if (shown !== "") stage.replaceChildren(renderEmpty());
    shown = "";
    return;
  }
  if (!view.number) {
    shown = null;
    stage.replaceChildren(h("p", { class: "nobody" }, "Choose a conversation."));
    return;
  }
  const one = grouped().get(view.number) ?? { digits: view.number, items: [] };
  const minutes = one.items.findLast((item) => item.segments)?.utc_offset ?? 180;
  const isNew = shown !== one.digits;
  if (isNew) stage.replaceChildren(renderPhone(one));
  shown = one.digits;
  set($("local"), hour(now(), minutes));
  set($("zone"), `recipient's time, ${offset(minutes)}`);
  renderSenders(one);
  const thread = $("thread");
  const isHidden = !thread.clientHeight;
  const follows = isNew || unseen || thread.scrollHeight - thread.scrollTop - thread.clientHeight < 60;
  const grew = thread.childElementCount;
  keyed(thread, renderItems(one, minutes));
  const goesDown = isNew || unseen || (follows && thread.childElementCount !== grew);
  unseen = isHidden && goesDown;
  if (view.message && scrollToMessage(one)) return;
  if (goesDown) thread.scrollTop = thread.scrollHeight;
}

function renderPhone({ digits }) {
  return h("div", { class: "phone" },
    h("div", { class: "bar num" }, h("span", { class: "local", id: "local" }), h("span", { id: "zone" })),
    h("div", { class: "head" }, h("button", { class: "button bare only-small", "aria-label": "Back", onclick: toList }, icon("back")),
      face(digits), h("div", {}, h("strong", {}, number(digits)), h("small", {}, ending(digits))),
      copier(digits, { class: "button bare", title: "Copy the number", "aria-label": "Copy the number" }, icon("copy"))),
    h("ol", { class: "thread", id: "thread", "aria-live": "polite", "aria-label": "Messages", tabindex: "0" }),
    renderReply(digits));
}

function renderSenders({ items }) {
  const senders = [...new Set(items.map((item) => (item.segments ? item.source_address : item.destination_address)).reverse())];
  if (!senders.length) senders.push(ownAddress());
  const pick = $("senders"), key = senders.join("\n");
  if (pick.dataset.key === key) return;
  const before = pick.value;
  pick.dataset.key = key;
  pick.replaceChildren(...senders.map((each) => h("option", { value: each }, `to ${number(each)}`)));
  // Without a choice of the user, the answer goes to the sender of the last message.
  pick.value = pick.dataset.chosen && senders.includes(before) ? before : senders[0];
  pick.hidden = senders.length === 1;
}

const ownAddress = () => seen.account.source_addresses?.[0] ?? seen.info.source_addresses?.[0] ?? "ACME";

function scrollToMessage(one) {
  const item = one.items.find(isWanted);
  if (!item) return false;
  const row = $("thread").querySelector(`[data-key="${CSS.escape(item.key)}"]`);
  view.message = null;
  row?.scrollIntoView({ block: "center" });
  return Boolean(row);
}

// The last part of a deep link is the id of any segment, or the number of the message.
const isWanted = (item) => item.segments
  ? String(item.number) === view.message || item.segments.some(({ id }) => String(id) === view.message)
  : String(item.id) === view.message;

function renderItems(one, minutes) {
  const rows = [], at = now(), ways = fetched();
  const wanted = view.message ? one.items.findIndex(isWanted) : -1;
  if (wanted >= 0) view.most = Math.max(view.most, one.items.length - wanted);
  const earlier = Math.max(0, one.items.length - view.most);
  const more = () => { view.most += MOST_ITEMS; render(); };
  if (earlier) rows.push({ key: "earlier", signature: earlier, build: () => h("li", { class: "day" }, h("button", { class: "button", onclick: more }, `Show ${Math.min(earlier, MOST_ITEMS)} earlier`)) });
  if (!one.items.length) rows.push({ key: "none", signature: "", build: () => h("li", { class: "day" }, "No messages with this number yet.") });
  let from = null, date = null;
  for (const item of earlier ? one.items.slice(earlier) : one.items) {
    const label = day(item.at, minutes);
    if (label !== date) rows.push({ key: `day ${item.key}`, signature: label, build: () => h("li", { class: "day" }, label) });
    date = label;
    if (!item.segments) {
      from = null;
      const way = waysOf(item, ways.get(String(item.id)) ?? [], at, minutes);
      rows.push({ key: item.key, signature: way.map(({ text }) => text).join(), build: (isNew) => renderIncoming(item, way, minutes, isNew) });
      continue;
    }
    if (item.source_address !== from) rows.push({ key: `from ${item.key}`, signature: item.source_address, build: () => h("li", { class: "from" }, item.source_address) });
    from = item.source_address;
    const state = stateOf(item, at), current = requestOf(item) !== null && view.request === item.request;
    const fault = requestsByIndex().get(item.request)?.fault ?? null;
    const look = { state, current, minutes, fault: fault === "pass" ? null : fault };
    rows.push({ key: item.key, signature: `${state.state} ${state.label} ${current} ${minutes} ${fault}`, build: (isNew) => renderMessage(item, look, isNew) });
  }
  return rows;
}

function waysOf(item, events, at, minutes) {
  if (item.at > at) return [{ text: `arrives ${hour(item.at, minutes)}`, tone: "s-warn" }];
  if (!events.length) return [{ text: "not read yet", tone: "s-quiet" }];
  const pushes = events.filter(({ push }) => push), reads = events.filter(({ request }) => request);
  const found = pushes.map(({ push }) => ({ text: `push ${push.attempt}: ${push.status ?? push.error ?? "waits"}`, tone: push.status >= 200 && push.status < 300 ? "s-good" : push.status === null && !push.error ? "s-quiet" : "s-bad" }));
  if (reads.length) found.push({ text: reads.length === 1 ? "read by Sms/In" : `read ${reads.length} times by Sms/In`, tone: "s-good", request: reads.at(-1).request.index });
  return found;
}

function renderIncoming(item, ways, minutes, isNew) {
  return h("li", { class: `item ours${isNew ? " new" : ""}`, "data-key": item.key }, h("div", { class: "bubble", dir: "auto" }, item.text),
    h("div", { class: "facts num" }, `answered ${hour(item.at, minutes)}`, h("span", { class: "dot" }, `to ${number(item.destination_address)}`), item.prefix && h("span", { class: "dot" }, `keyword ${item.prefix}`),
      ways.map(({ text, tone, request }) => h("span", { class: `dot ${tone}` }, request === undefined ? text : h("button", { class: "linked", onclick: () => inspect(request) }, text)))));
}

function renderMessage(item, { state, current, minutes, fault }, isNew) {
  const pieces = item.segments.flatMap(({ text }, index) => (index ? [h("span", { class: "cut", title: `segment ${index + 1} begins here` }), text] : [text]));
  const request = requestOf(item);
  return h("li", { class: `item${isNew ? " new" : ""}`, "aria-current": String(current), "data-key": item.key },
    request === null ? h("div", { class: "bubble", dir: "auto" }, pieces) : h("button", { class: "bubble", dir: "auto", title: "Show the request", onclick: () => inspect(request) }, pieces),
    item.hint && h("div", { class: "hint" }, h("b", {}, item.hint.characters), ` makes it ${plural(item.segments.length, "segment")} instead of ${item.hint.segments}`),
    (item.code || item.links.length > 0) && h("div", { class: "tools" },
      item.code && copier(item.code, { class: "chip copy code", title: "Copy the code (c)" }, icon("copy"), h("b", {}, item.code)),
      item.links.map((link) => copier(link, { class: "chip copy", title: "Copy the link" }, icon("link"), link.replace(/^https?:\/\//, "").slice(0, 34)))),
    h("div", { class: "facts num" }, h("span", { class: state.tone, title: `state ${state.state}` }, icon(state.icon), ` ${state.label}`), h("span", { class: "dot" }, hour(item.at, minutes)),
      h("span", { class: "dot" }, plural(item.segments.length, "segment")), h("span", { class: "dot" }, item.encoding), h("span", { class: "dot" }, money(item.price)),
      fault && h("span", { class: "dot s-warn", title: "The request came over the faulty line" }, fault),
      item.resource === "Push" && h("span", { class: "dot" }, "reply to a push")));
}

function renderReply(digits) {
  const answer = (text) => {
    if (!text.trim()) return undefined;
    $("thread").scrollTop = $("thread").scrollHeight; // The thread follows the answer.
    return api.receive({ source_address: digits, destination_address: $("senders").value, text });
  };
  const draft = `answer ${digits}`;
  const write = (text) => { box.value = text; view.drafts.set(draft, text); };
  // An answer that the sandbox did not take comes back into the box.
  const send = async () => {
    const text = box.value.trim();
    write("");
    if (!(await answer(text)) && !view.drafts.get(draft)) write(text);
  };
  const box = h("textarea", { rows: 1, dir: "auto", "aria-label": "Answer", placeholder: `Answer as ${number(digits)}…`, value: view.drafts.get(draft) ?? "", oninput: () => view.drafts.set(draft, box.value) });
  box.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  return h("div", { class: "reply" },
    h("div", { class: "quick" }, ["STOP", "Да", "1", "👍"].map((text) => h("button", { class: "chip", onclick: () => answer(text) }, text))),
    h("div", { class: "compose" }, h("select", { id: "senders", "aria-label": "Answer to", hidden: true, onchange: (event) => { event.target.dataset.chosen = "true"; } }), box,
      h("button", { class: "send", "aria-label": "Send the answer", title: "Answer (Enter)", onclick: () => { send(); box.focus(); } }, icon("up"))));
}

function renderEmpty() {
  return h("div", { class: "empty" }, h("h2", { class: "big" }, "Waiting for the first message"),
    h("p", {}, "Point your application at this gateway. It answers as the real one does, and what you send appears here, on the recipient's phone."),
    h("h2", {}, "With this package, or anything that reads the environment"), copyable(environment()),
    h("h2", {}, "With curl"), copyable(curl()),
    h("div", { class: "row" }, h("button", { class: "button main", onclick: () => api.sample() }, icon("chat"), "Send a sample message"), h("span", { class: "quiet" }, "or press ", h("kbd", {}, "s"))));
}

// --- the panel ---------------------------------------------------------------------------------------------
let drawnPanel = "";
function renderPanel() {
  const { prepared, gates } = seen.account;
  const counts = { faults: faultCount(), account: (prepared?.length ?? 0) + (gates?.length ?? 0) };
  for (const tab of $("tabs").children) {
    const selected = tab.dataset.tab === view.tab;
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
    const count = tab.querySelector(".count"), active = counts[tab.dataset.tab] ?? 0;
    count.hidden = !active;
    set(count, String(active));
  }
  $("sheet").setAttribute("aria-labelledby", `tab-${view.tab}`);
  for (const button of $("nav").children) {
    const inPanel = document.body.dataset.view === "panel";
    button.setAttribute("aria-current", String(button.dataset.go === "list" ? !inPanel : inPanel && view.tab === button.dataset.go));
  }
  const { signature, build } = sheetOf(view.tab);
  if (drawnPanel === `${view.tab} ${signature}`) return;
  // A field in which the user types must not be replaced. After the change, the sheet is built again.
  if (document.activeElement?.dataset.dirty && $("sheet").contains(document.activeElement)) return;
  const isSame = drawnPanel.startsWith(`${view.tab} `);
  drawnPanel = `${view.tab} ${signature}`;
  refill($("sheet"), build());
  if (!isSame) $("sheet").scrollTop = 0;
}

// --- what one can do ---------------------------------------------------------------------------------------
function choose(digits, message = null, enter = pushLink) {
  if (!location.hash) keepPlace({ number: view.number });
  if (view.number !== digits) view.most = MOST_ITEMS;
  view.number = digits;
  view.message = message;
  view.unread.delete(digits);
  const items = grouped().get(digits)?.items ?? [];
  const item = message === null ? items.findLast((each) => each.segments) : items.find(isWanted);
  view.request = requestOf(item) ?? view.request;
  const link = `#${digits}${message === null ? "" : `/${encodeURIComponent(message)}`}`;
  if (location.hash !== link) enter(link);
  show("thread");
}

// "Back" of the browser returns to the conversation before, or to the list.
function pushLink(link) {
  history.pushState({ ...history.state, isFromList: !location.hash }, "", link);
}

// The address of the same place in another spelling: no new step for "Back".
function replaceLink(link) {
  history.replaceState(history.state, "", link);
}

const withoutLink = () => location.pathname + location.search;
// Part of the history of the browser: a reload shows the same sheet and the same view.
const keepPlace = (fields) => history.replaceState({ ...history.state, ...fields }, "");
const oneColumn = matchMedia("(max-width: 720px)");

// Go to the list of conversations. Only in one column, the list takes the place of the phone.
function toList() {
  if (oneColumn.matches && location.hash) {
    if (history.state?.isFromList) { history.back(); return; }
    replaceLink(withoutLink());
  }
  show("list");
}

// The address changed: by "Back" and "Forward", or by a link.
function followLink() {
  if (!openLink()) {
    view.number = grouped().has(history.state?.number) ? history.state.number : view.number;
    show("list");
  }
  drawNow();
}

// Whether the user sees the phone of a number.
const isOnScreen = (digits) => digits === view.number && !document.hidden && (!oneColumn.matches || document.body.dataset.view === "thread");

function inspect(request) {
  view.request = request;
  openTab("request");
}

function show(name) {
  document.body.dataset.view = name;
  if (name === "thread") view.unread.delete(view.number);
  if (history.state?.view !== name) keepPlace({ view: name });
  render();
}

// Called by `api.js` for each message that arrives while the page is open.
function arrive(message) {
  const digits = message.destination_address;
  if (!view.number) {
    view.number = digits;
    view.most = MOST_ITEMS;
  }
  if (digits === view.number && requestOf(message) !== null) view.request = message.request;
  if (!isOnScreen(digits)) view.unread.set(digits, (view.unread.get(digits) ?? 0) + 1);
  if (document.hidden) renderTitle();
}

// Called by `api.js` after the whole state was read.
function opened() {
  const known = grouped();
  for (const digits of view.unread.keys()) if (!known.has(digits)) view.unread.delete(digits);
  if (!seen.requests.some(({ index }) => index === view.request)) view.request = null;
  if (view.number === null) {
    const kept = history.state ?? {};
    view.most = MOST_ITEMS;
    if (!openLink()) view.number = conversations()[0]?.digits ?? null;
    if (!view.number) document.body.dataset.view = "thread";
    if (kept.view === "panel") document.body.dataset.view = "panel";
    view.request ??= requestOf(grouped().get(view.number)?.items.findLast((each) => each.segments));
  }
  render();
}

// Called by `api.js` after all messages were removed.
function cleared() {
  view.unread.clear();
  view.number = view.request = view.message = null;
  replaceLink(withoutLink());
  if (document.body.dataset.view === "list") document.body.dataset.view = "thread";
}

// Open the conversation of a link `#number` or `#number/message`.
function openLink() {
  const [first, message] = decoded(location.hash.slice(1)).split("/");
  const digits = first.replace(/[^0-9]/g, "");
  if (!digits) return false;
  choose(digits, message || null, replaceLink);
  return true;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

let problemTimer;
function problem(text) {
  clearTimeout(problemTimer);
  $("problem").hidden = false;
  set($("problem-text"), text);
  problemTimer = setTimeout(() => { $("problem").hidden = true; }, 8000);
}

// The commands of the API. An error is shown and does not stop the page.
function guarded(commands) {
  const guard = (command) => async (...given) => {
    try {
      return await command(...given);
    } catch (error) {
      problem(error.message);
      return undefined;
    }
  };
  return Object.fromEntries(Object.entries(commands).map(([name, command]) => [name, guard(command)]));
}

function step(by) {
  if (!seen.clock) return;
  const all = conversations();
  const next = all[all.findIndex(({ digits }) => digits === view.number) + by];
  if (!next) return;
  choose(next.digits, null, replaceLink);
}

function openTab(key) {
  view.tab = key;
  keepPlace({ tab: key });
  if (matchMedia("(max-width: 1120px)").matches) show("panel");
  else render();
}

function turnTheme() {
  const chosen = document.documentElement.dataset.theme;
  const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  } catch { /* The browser may forbid it: then the choice lasts as long as the page. */ }
}

const KEYS = {
  "/": () => { show("list"); $("query").focus(); }, " ": () => $("run").click(), d: turnTheme, j: () => step(1), k: () => step(-1),
  r: () => $("stage").querySelector("textarea")?.focus(), c: () => [...$("stage").querySelectorAll(".chip.code")].at(-1)?.click(),
  s: () => api.sample(), m: () => api.advance(60), "?": () => $("keys").showModal(),
  1: () => openTab("request"), 2: () => openTab("faults"), 3: () => openTab("account"), 4: () => openTab("setup"),
};

document.addEventListener("keydown", (event) => {
  if ($("keys").open) return;
  if (event.key === "Escape") {
    if (event.target.matches("input[type=search]") && event.target.value) return;
    event.target.blur();
    toList();
    return;
  }
  if (event.key === "Enter" && event.target === $("query") && !event.isComposing) {
    const first = seen.clock && conversations()[0];
    if (first) choose(first.digits);
    return;
  }
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target.closest("button, summary")) return;
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

function prepare() {
  for (const element of document.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
  for (const element of document.querySelectorAll("[data-advance]")) element.onclick = () => api.advance(Number(element.dataset.advance));
  $("filters").append(...[["all", "All"], ["failed", "Failed"], ["replies", "Replied"]].map(([key, label]) =>
    h("button", { class: "chip", "data-filter": key, "aria-pressed": "false", onclick: () => { view.filter = key; render(); } }, label)));
  $("tabs").append(...TABS.map(([key, label]) =>
    h("button", { class: "tab", role: "tab", id: `tab-${key}`, "data-tab": key, "aria-controls": "sheet", onclick: () => openTab(key) }, label,
      h("span", { class: "count", hidden: true }))));
  $("tabs").onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const place = (TABS.findIndex(([key]) => key === view.tab) + by + TABS.length) % TABS.length;
    openTab(TABS[place][0]);
    drawNow();
    $("tabs").children[place].focus();
  };
  $("sheet").addEventListener("input", ({ target }) => { if (target.matches("input.count")) target.dataset.dirty = "true"; });
  for (const kind of ["change", "focusout"]) $("sheet").addEventListener(kind, ({ target }) => { if (target.dataset.dirty) { delete target.dataset.dirty; render(); } });
  $("nav").append(...[["list", "Chats", "chat"], ...TABS].map(([key, label, name]) =>
    h("button", { "data-go": key, onclick: () => { if (key === "list") toList(); else openTab(key); } }, icon(name), label)));
  $("run").onclick = () => { if (seen.clock) api.clock({ running: !seen.clock.running }); };
  $("speed").onchange = (event) => api.clock({ speed: Number(event.target.value) });
  $("drawer").onclick = () => show(document.body.dataset.view === "panel" ? "list" : "panel");
  $("clear").onclick = () => api.clear();
  $("query").oninput = (event) => { view.query = event.target.value; render(); };
  $("theme").onclick = turnTheme;
  $("help").onclick = () => $("keys").showModal();
  $("keys-close").onclick = () => $("keys").close();
  $("problem-close").onclick = () => { $("problem").hidden = true; };
  document.addEventListener("visibilitychange", () => { if (isOnScreen(view.number)) view.unread.delete(view.number);
    render();
  });
  addEventListener("hashchange", followLink);
  if (TABS.some(([key]) => key === history.state?.tab)) view.tab = history.state.tab;
}

// Ticks change with time alone. `renderList` and `renderItems` build again only what changed its state.
let drawnStates = "";
function tick() {
  if (!seen.clock?.running || document.hidden) return;
  renderTop();
  const at = now();
  const states = `${seen.messages.map((message) => stateOf(message, at).label).join()} ${seen.incoming.filter((each) => each.at <= at).length} ${hour(at)}`;
  if (states !== drawnStates) {
    drawnStates = states;
    render();
  }
}

prepare();
api = guarded(connect({ seen, render, arrive, opened, cleared }));
Object.assign(actions, { api, inspect, render, choose, problem });
setInterval(tick, 500);
