// The sheets of the panel: the request, the faults, the account, and how to connect a client.
import { actions, messagesOf, now, seen, view } from "./model.js";
import { CHANGES, copier, copyable, day, h, hour, icon, number, plural, second, states } from "./tools.js";
import { accountSheet } from "./account.js";
import { RESOURCES, choice, drafted, section } from "./forms.js";

export const TABS = [["request", "Request", "code"], ["faults", "Faults", "bolt"], ["account", "Account", "purse"], ["setup", "Connect", "plug"]];

// The text of one sheet as a function, and a signature: the sheet is built again only when the signature changes.
export const sheetOf = (tab) => ({ request: requestSheet, faults: faultSheet, account: accountSheet, setup: setupSheet })[tab]();

// --- the request -------------------------------------------------------------------------------------------
const MOST_PARAMETERS = 60;
const MOST_STEPS = 4; // in one line

function requestSheet() {
  const request = seen.requests.find(({ index }) => index === view.request) ?? seen.requests.at(-1);
  if (!request) return { signature: "", build: () => [h("p", { class: "nobody" }, "Each request shows here: as it came, as it was read, and what was answered.")] };
  const messages = messagesOf().get(request.index) ?? [];
  const message = messages.find((each) => each.destination_address === view.number) ?? messages[0];
  const at = now();
  const reached = message?.segments[0].steps.map(([since]) => since <= at);
  const latest = seen.requests.slice(-8).reverse();
  const log = latest.map((each) => [each.index, each.status, each.code]);
  return {
    signature: JSON.stringify([request.index, request.status, request.code, request.fault, request.answer.length, messages.length, message?.segments[0].steps, reached, seen.requests[0].index, log, view.all === request.index, request.status === null && seen.account.gates]),
    build: () => [...renderRequest(request, messages, message), renderLatest(latest, request)],
  };
}

function renderRequest(request, messages, message) {
  const isHeld = request.status === null;
  const good = !isHeld && request.status < 400;
  const at = seen.requests.indexOf(request);
  const go = (step) => { view.request = seen.requests[at + step]?.index ?? view.request; actions.render(); };
  return [
    h("section", {}, h("header", {}, h("div", { class: "title" }, h("span", { class: "tag" }, request.method), h("b", {}, request.resource ?? request.target.split("?")[0])), renderStatus(request)),
      h("div", { class: "row quiet num" }, `#${request.index} at ${second(request.at)} UTC`, request.fault && h("span", { class: "tag warn", title: "The request came over the faulty line" }, request.fault), h("span", { class: "grow" }),
        h("button", { class: "button bare", disabled: at <= 0, "aria-label": "The request before", onclick: () => go(-1) }, "‹"), h("button", { class: "button bare", disabled: at + 1 >= seen.requests.length, "aria-label": "The next request", onclick: () => go(1) }, "›"))),
    isHeld && section("Not answered yet", renderHeld(request)),
    message && h("section", {}, h("header", {}, h("h2", {}, segmentTitle(messages, message)), renderVerdict(message)), renderSteps(message)),
    h("section", {}, h("header", {}, h("h2", {}, "As it was read"), copier(request.curl, { class: "button bare" }, icon("copy"), "as curl")), ...renderParameters(request)),
    section("As it came", h("pre", { tabindex: "0" }, h("span", { class: "v" }, `${request.method} ${request.target}`), h("span", { class: "m" }, " HTTP/1.1\n"), ...fields(request.headers), request.body ? `\n${request.body}` : "")),
    !isHeld && section("As it was answered", h("pre", { tabindex: "0" }, h("span", { class: good ? "v" : "s-bad" }, `HTTP/1.1 ${request.status}\n`), ...fields(request.answer_headers), `\n${request.answer}`)),
  ];
}

function renderHeld({ resource }) {
  const gate = seen.account.gates?.find((each) => each.resource === null || each.resource === resource);
  if (!gate) return h("p", { class: "quiet" }, "The sandbox holds the answer, because the delay of the answers is not over.");
  return h("div", { class: "row" }, h("p", { class: "quiet" }, "The sandbox holds the answer until a test or this page releases the answers."),
    h("button", { class: "button", onclick: () => actions.api.release({ resource: gate.resource }) }, icon("play"), "Release the answers"));
}

function renderStatus({ status, code }) {
  if (status === null) return h("span", { class: "tag warn", title: "No answer was sent yet" }, "held");
  return h("span", { class: `tag ${status < 400 ? "good" : "bad"}` }, `${status}${code ? ` · code ${code}` : ""}`);
}

const fields = (pairs) => pairs.flatMap(([name, value]) => [h("span", { class: "k" }, `${name}: `), `${value}\n`]);

function segmentTitle(messages, message) {
  if (messages.length > 1) return `${plural(messages.length, "message")}, here to ${number(message.destination_address)}`;
  return message.segments.length > 1 ? `First of ${message.segments.length} segments` : "Segment";
}

function renderParameters(request) {
  if (!request.parameters.length) return [h("p", { class: "quiet" }, "No parameters.")];
  const some = view.all === request.index ? request.parameters : request.parameters.slice(0, MOST_PARAMETERS);
  const rest = request.parameters.length - some.length;
  return [
    h("dl", {}, some.flatMap(({ name, value, note }) => [h("dt", {}, name), h("dd", {}, value, note && h("small", {}, ` ${note}`))])),
    rest > 0 && h("button", { class: "button", onclick: () => { view.all = request.index; actions.render(); } }, `Show ${rest} more`),
  ].filter(Boolean);
}

function renderVerdict(message) {
  const change = (event) => { if (event.target.value !== "") actions.api.state(message.id, Number(event.target.value)); };
  return h("select", { class: "small", "aria-label": "Change the state", onchange: change }, h("option", { value: "" }, "change to…"),
    CHANGES.map((state) => h("option", { value: state }, `${states(state)[0]} (${state})`)));
}

function renderSteps(message) {
  const { steps } = message.segments[0];
  const at = now();
  return h("ol", { class: `steps${steps.length > MOST_STEPS ? " many" : ""}` }, steps.map(([since, state], index) => {
    const past = since <= at;
    const last = past && !(steps[index + 1]?.[0] <= at);
    const [label, tone] = states(state);
    return h("li", { class: `num ${past ? "past" : ""} ${last ? "last" : ""} ${past && tone === "s-bad" ? "failed" : ""}`, title: `state ${state}` }, index === 0 && state === 255 ? "accepted" : label, h("small", {}, day(since) === day(steps[0][0]) ? second(since) : `${day(since)} ${hour(since)}`));
  }));
}

function renderLatest(latest, current) {
  return section("Latest requests", h("ul", { class: "log" }, latest.map((each) =>
    h("li", { "aria-current": String(each === current) }, h("span", {}, `#${each.index}`), h("span", {}, h("button", { class: "linked", onclick: () => actions.inspect(each.index) }, each.resource ?? each.target.split("?")[0])),
      h("span", { class: each.status === null ? "s-warn" : each.status < 400 ? "s-quiet" : "s-bad" }, each.status === null ? "held" : each.code ? `code ${each.code}` : each.status)))));
}

// --- the faults --------------------------------------------------------------------------------------------
// Each kind of fault: a label, and what happens. `true` marks the kinds that are shown first.
const FAULTS = {
  "reset-after-pass": ["Cut the line after sending", "The message was sent. The client cannot know that.", true],
  "hang-after-pass": ["Send, then never answer", "The message was sent. The timeout of the client decides.", true],
  "close-before-read": ["Hang up before reading", "The message was not sent.", true],
  "error-500-after-pass": ["Send, then answer 500", "The answer is an HTML page, no JSON.", true],
  "too-many-requests-429": ["Too many requests", "Status 429 with Retry-After. The message was not sent.", true],
  "expired-session": ["The session has expired", "Status 401, code 4. The client must log in again.", true],
  "slow-bytes": ["A slow line", "The message was sent. The answer comes byte by byte.", true],
  "garbage": ["No HTTP at all", "The answer is bytes without a meaning. The message was not sent.", true],
  "refuse": ["Refuse the connection", "New connections are reset at once. Nothing was sent."],
  "accept-then-silence": ["Accept, then silence", "The connection opens and nothing is read. Nothing was sent."],
  "reset-before-read": ["Reset before reading", "The message was not sent."],
  "close-after-read": ["Read, then hang up", "The message was not sent. The client cannot know that."],
  "reset-after-read": ["Read, then reset", "The message was not sent. The client cannot know that."],
  "hang-after-read": ["Read, then never answer", "The message was not sent. The client cannot know that."],
  "close-after-pass": ["Send, then hang up", "The message was sent. The client cannot know that."],
  "truncate-after-pass": ["Half an answer", "The message was sent. The answer ends in its middle."],
  "garbage-after-pass": ["Send, then garbage", "The message was sent. The answer is bytes without a meaning."],
  "tls-garbage-after-pass": ["Send, then break TLS", "The message was sent. The answer is no TLS record."],
  "error-502-after-pass": ["Send, then answer 502", "The message was sent. The answer is an HTML page."],
  "error-500": ["Answer 500", "The message was not sent. The answer is an HTML page."],
  "error-502": ["Answer 502", "The message was not sent. The answer is an HTML page."],
  "stale-keep-alive": ["A stale connection", "The connection closes when the next request begins."],
  "two-answers": ["Two answers", "The message was sent. A second answer comes with the first."],
  "late-answer": ["A late answer", "The message was sent. A second answer comes later."],
  "redirect-307": ["A redirect", "Status 307 to the same address. The message was not sent."],
  "unsolicited-408": ["An early 408", "After the answer comes a 408 for a request that nobody made."],
  "pass": ["No fault", "The request and the answer pass."],
};
const SEND = RESOURCES[0];
const faultOf = (kind) => FAULTS[kind] ?? [kind, ""];

// The next change builds on this one, even if the sandbox has not answered yet.
function change(rules) {
  seen.faults = { ...seen.faults, plan: { ...seen.faults.plan, rules } };
  actions.render();
  return actions.api.faults(seen.faults.plan);
}
const rulesOf = () => seen.faults.plan.rules ?? [];

function faultSheet() {
  if (!seen.faults?.base_url) return { signature: "off", build: () => [section("The faulty line", h("p", { class: "quiet" }, "This sandbox has no faulty line. Start it with a port for the faulty line."))] };
  return { signature: JSON.stringify([seen.faults, view.drafts.has("plan")]), build: renderFaults };
}

function renderFaults() {
  const { base_url: url, history } = seen.faults;
  const rules = rulesOf();
  const kinds = Object.keys(FAULTS).concat((seen.faults.kinds ?? []).map((each) => each.fault ?? each).filter((each) => !(each in FAULTS)));
  return [
    section("The faulty line", h("p", { class: "quiet" }, "This page does not use the faulty line. Requests to this address get the faults that are switched on below:"), copyable(`export SMSAPI_BASE_URL=${url}`)),
    h("section", {}, h("header", {}, h("h2", {}, "What goes wrong"), h("button", { class: "button bare", disabled: !faultCount(), onclick: () => { view.drafts.delete("plan"); actions.api.clearFaults(); } }, "all off")),
      faultCount() > rules.length && h("p", { class: "quiet" }, "The plan also contains a list of faults or weights. You can edit them as JSON below."),
      rules.map((rule, place) => renderRule(rule, place, kinds)),
      kinds.filter((kind) => FAULTS[kind]?.[2] && !rules.some(({ fault }) => fault === kind)).map(renderPreset),
      renderAdd(kinds.filter((kind) => !FAULTS[kind]?.[2] && kind !== "pass"))),
    renderPlan(),
    section("What went wrong", history.length ? h("ul", { class: "log" }, history.slice(-8).reverse().map(renderEntry)) : h("p", { class: "quiet" }, "Nothing yet.")),
  ];
}

// The number of the parts of the plan: rules, faults of the script, and weights.
export function faultCount() {
  const { rules = [], faults = [], weights = {} } = seen.faults?.plan ?? {};
  return rules.length + faults.length + Object.keys(weights).length;
}

function renderEntry({ number: count, resource, fault, passed_on }, place, all) {
  return h("li", {}, h("span", {}, `#${count ?? all.length - place}`), h("span", {}, `${resource || "connection"}: ${fault}`), h("span", { class: passed_on ? "s-warn" : "s-quiet" }, passed_on ? "passed on" : "not passed on"));
}

function renderPreset(fault) {
  const [label, note] = faultOf(fault);
  return h("label", { class: "card" }, h("span", {}, label), h("input", { class: "switch", type: "checkbox", role: "switch", onchange: () => change([...rulesOf(), { fault, resource: SEND, times: 1 }]) }), h("p", {}, note));
}

function renderAdd(kinds) {
  const pick = choice("Another kind of fault", "another", kinds.map((kind) => [kind, faultOf(kind)[0]]));
  return h("div", { class: "row" }, pick, h("button", { class: "button", onclick: () => change([...rulesOf(), { fault: pick.value, resource: SEND, times: 1 }]) }, "Add"));
}

// A rule of the plan: its kind, its resource, and how many requests get the fault.
function renderRule(rule, place, kinds) {
  const replace = (fields) => change(rulesOf().map((each, index) => (index === place ? { ...each, ...fields } : each)));
  const count = (text) => (text.trim() === "" ? null : Math.max(0, Math.floor(Number(text)) || 0));
  const [label, note] = faultOf(rule.fault);
  const resource = rule.resource ?? "";
  return h("div", { class: "card on rule", role: "group", "aria-label": `Fault ${place + 1}: ${label}` },
    h("select", { "aria-label": "Kind of fault", value: rule.fault, onchange: (event) => replace({ fault: event.target.value }) }, kinds.map((kind) => h("option", { value: kind }, faultOf(kind)[0]))),
    h("input", { class: "switch", type: "checkbox", role: "switch", checked: true, "aria-label": `Switch off: ${label}`, onchange: () => change(rulesOf().filter((_, index) => index !== place)) }),
    h("p", {}, note),
    h("div", { class: "row" },
      h("select", { "aria-label": "Resource", value: resource, onchange: (event) => replace({ resource: event.target.value || null }) }, [["", "every request"], ...RESOURCES.map((each) => [each, each]), ...(resource && !RESOURCES.includes(resource) ? [[resource, resource]] : [])].map(([value, text]) => h("option", { value }, text))),
      h("label", { class: "inline" }, h("input", { class: "field count", type: "number", min: "0", "aria-label": "How many requests; empty means all", placeholder: "all", value: rule.times ?? "", onchange: (event) => replace({ times: count(event.target.value) }) }), "times"),
      rule.fault === "too-many-requests-429" && h("label", { class: "inline" }, h("input", { class: "field count", type: "number", min: "0", "aria-label": "Retry-After in seconds", value: rule.retry_after ?? 0, onchange: (event) => replace({ retry_after: Math.max(0, Number(event.target.value) || 0) }) }), "s wait"),
      (rule.probability ?? 1) < 1 && h("span", { class: "quiet" }, `with probability ${rule.probability}`),
      rule.after > 0 && h("span", { class: "quiet" }, `after ${rule.after}`)));
}

// The whole plan as it is in a file, also with a script and weights.
function renderPlan() {
  const text = JSON.stringify(seen.faults.plan, null, 2);
  const box = drafted(h("textarea", { class: "plan", rows: 8, spellcheck: "false", "aria-label": "The fault plan in JSON" }), "plan", text);
  const save = async () => {
    let plan;
    try {
      plan = JSON.parse(box.value);
    } catch (error) {
      actions.problem(`The plan is not JSON: ${error.message}`);
      return;
    }
    if (await actions.api.faults(plan)) view.drafts.delete("plan");
    actions.render();
  };
  return h("details", { open: view.drafts.has("plan") || view.drafts.has("plan open"), ontoggle: (event) => { if (event.target.open) view.drafts.set("plan open", true); else view.drafts.delete("plan open"); } },
    h("summary", {}, "The whole plan as JSON"), box,
    h("div", { class: "row" }, h("button", { class: "button", onclick: save }, "Save the plan"), h("button", { class: "button bare", onclick: () => { view.drafts.delete("plan"); box.value = text; } }, "Undo"), h("span", { class: "grow" }),
      copier(text, { class: "button bare", title: "Copy the plan, for a file that --faults reads" }, icon("copy"), "Copy")));
}

// --- how to connect ----------------------------------------------------------------------------------------
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const source = () => seen.account?.source_addresses?.[0] ?? seen.info.source_addresses?.[0] ?? "ACME";

export const environment = () => `export SMSAPI_BASE_URL=${seen.info.base_url}\nexport SMSAPI_LOGIN=${quoted(seen.info.login)} SMSAPI_PASSWORD=${quoted(seen.info.password)}\nexport SMSAPI_SOURCE_ADDRESS=${quoted(source())}`;
export function curl() {
  const { base_url, login, password } = seen.info;
  return `B=${base_url}\nS=$(curl -s "$B/User/SessionId?login=${encodeURIComponent(login)}&password=${encodeURIComponent(password)}" | tr -d '"')\ncurl "$B/Sms/Send" -d SessionID=$S -d SourceAddress=${quoted(source())} \\\n  -d DestinationAddress=79031234567 --data-urlencode "Data=Your code is 4711"`;
}

function setupSheet() {
  return {
    signature: JSON.stringify([seen.info, source()]),
    build: () => [
      section("The environment", copyable(environment())),
      section("curl", copyable(curl())),
      section("In an end-to-end test, in any language", copyable(`curl "${seen.info.api}/messages/latest?to=79031234567&wait=10"`), h("p", { class: "quiet" }, "Answers as soon as a message is there. The field ", h("code", {}, "code"), " has the code in its text.")),
      section("In pytest", copyable(`def test_login(sms_sandbox, browser):\n    browser.log_in("79031234567")\n    code = sms_sandbox.code_to("79031234567", timeout=10)\n    browser.enter(code)`)),
      section("The whole API", h("p", { class: "quiet" }, "An OpenAPI document describes each route: ", h("a", { href: "api/v1/openapi.json" }, "openapi.json"))),
    ],
  };
}
