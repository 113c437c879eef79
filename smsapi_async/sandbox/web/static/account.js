// The sheet of the account: balance, sessions, prepared and held answers, and the delay.
import { actions, seen, view } from "./model.js";
import { check, drafted, choice, entry, resourceChoice, section } from "./forms.js";
import { h, icon, money, plural } from "./tools.js";

const CODES = [[5, "5 Not enough credits"], [4, "4 Unauthorized access"], [3, "3 Invalid session id"], [7, "7 Forbidden"], [6, "6 Invalid operation"], [1, "1 Argument cannot be null"], [2, "2 Invalid argument"], [8, "8 Gateway error"], [9, "9 Internal server error"]];
const DELAYS = [0, 0.2, 1, 5];

export function accountSheet() {
  return { signature: JSON.stringify(seen.account), build: renderAccount };
}

function renderAccount() {
  const { balance, price, sessions, logins, latency } = seen.account;
  const set = (fields) => () => actions.api.account(fields);
  const amount = entry("Another balance", "balance", "", { inputmode: "decimal", placeholder: "balance" });
  const cost = entry("Another price of a segment", "price", "", { inputmode: "decimal", placeholder: "price" });
  const store = (field, name) => async () => {
    if (field.value.trim() && await actions.api.account({ [name]: field.value.trim().replace(",", ".") })) { view.drafts.delete(name); field.value = ""; }
  };
  return [
    section("Balance", h("div", { class: "money num" }, money(balance), h("small", {}, `  ${money(price)} a segment`)),
      h("div", { class: "row" }, [100, 10000].map((more) => h("button", { class: "button", onclick: set({ balance: plus(balance, more) }) }, `+${more.toLocaleString("en")}`)), h("button", { class: "button", onclick: set({ balance: "0" }) }, "Spend it all")),
      h("div", { class: "row" }, amount, h("button", { class: "button", onclick: store(amount, "balance") }, "Set the balance")),
      h("div", { class: "row" }, cost, h("button", { class: "button", onclick: store(cost, "price") }, "Set the price"))),
    section("Sessions", h("dl", {}, h("dt", {}, "open"), h("dd", { class: "num" }, String(sessions.open)), h("dt", {}, "given out"), h("dd", { class: "num" }, String(sessions.given)), h("dt", {}, "logins"), h("dd", { class: "num" }, String(logins))),
      h("div", { class: "row" }, h("button", { class: "button", onclick: () => actions.api.expire() }, "Expire all sessions"), h("span", { class: "quiet" }, "The next request then gets code 3 or 4."))),
    renderRefusal(),
    renderAnswer(),
    renderHold(),
    renderPrepared(seen.account),
    section("Delay of each answer", h("div", { class: "row" }, h("span", { class: "group" }, DELAYS.concat(DELAYS.includes(latency) ? [] : [latency]).map((each) => h("button", { class: "button", "aria-pressed": String(latency === each), onclick: set({ latency: each }) }, each ? `${each} s` : "none"))))),
    section("Start again", h("div", { class: "row" }, h("button", { class: "button", onclick: () => actions.api.reset() }, "Reset the sandbox"), h("span", { class: "quiet" }, "Messages, balance, sessions, faults and clock are as at the start."))),
  ];
}

const times = (key) => {
  const field = entry("Number of requests", key, "1", { type: "number", min: "1", class: "field count" });
  return [h("label", { class: "inline" }, field, "times"), () => Math.max(1, Math.floor(Number(field.value)) || 1)];
};

function renderRefusal() {
  const resource = resourceChoice("Resource of the refusal", "refused resource"), code = choice("Code", "refused code", CODES);
  const text = entry("Text of the error", "refused text", "", { placeholder: "usual text" });
  const [count, howOften] = times("refused times");
  const refuse = () => actions.api.refuse({ resource: resource.value || null, code: Number(code.value), description: text.value || null, times: howOften() });
  return section("Refuse the next request", h("div", { class: "row" }, resource, code), h("div", { class: "row" }, text, count, h("button", { class: "button", onclick: refuse }, "Refuse it")));
}

// The header fields in lines of the form "Name: value".
function headersIn(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  if (!lines.length) return null;
  return Object.fromEntries(lines.map((line) => {
    const [, name, value] = line.match(/^\s*([^\s:]+)\s*:\s*(.*?)\s*$/) ?? [];
    if (!name) throw new Error("Write each header field in its own line, like Retry-After: 5");
    return [name, value];
  }));
}

function renderAnswer() {
  const resource = resourceChoice("Resource of the answer", "answered resource");
  const status = entry("Status of the answer", "answered status", "200", { type: "number", min: "200", max: "599", class: "field count status" });
  const body = drafted(h("textarea", { class: "plan", rows: 3, spellcheck: "false", "aria-label": "Body of the answer", placeholder: "body" }), "answered body", "");
  const headers = drafted(h("textarea", { class: "plan", rows: 2, spellcheck: "false", "aria-label": "Header fields of the answer", placeholder: "Name: value, one header field in each line; if empty, the usual ones" }), "answered headers", "");
  const [count, howOften] = times("answered times");
  const [accept, accepts] = check("The request is processed, too: messages are accepted and billed", "answered accept");
  const store = () => {
    let fields;
    try {
      fields = { resource: resource.value || null, status: Math.floor(Number(status.value)), body: body.value, headers: headersIn(headers.value), times: howOften(), accept: accepts.checked };
    } catch (error) {
      actions.problem(error.message);
      return;
    }
    actions.api.answer(fields);
  };
  return section("Choose the next answer", h("div", { class: "row" }, resource), h("div", { class: "row" }, h("label", { class: "inline" }, "status", status), count, h("span", { class: "grow" }), h("button", { class: "button", onclick: store }, "Store it")),
    h("details", { class: "more", open: view.drafts.has("answer open"), ontoggle: (event) => { if (event.target.open) view.drafts.set("answer open", true); else view.drafts.delete("answer open"); } },
      h("summary", {}, "Body, header fields, acceptance"), body, headers, accept));
}

function renderHold() {
  const resource = resourceChoice("Resource of the held answers", "held resource");
  return section("Hold the answers", h("div", { class: "row" }, resource, h("button", { class: "button", onclick: () => actions.api.answer({ resource: resource.value || null, hold: true }) }, icon("pause"), "Hold them")),
    h("p", { class: "quiet" }, "The gateway processes the requests. The clients wait until the answers are released."));
}

// The answers that wait for a request, and the answers that the sandbox holds.
function renderPrepared({ prepared = [], gates = [] }) {
  if (!prepared.length && !gates.length) return null;
  const release = (each) => h("button", { class: "linked", "aria-label": `Release the answers of ${each.resource ?? "every request"}`, onclick: () => actions.api.release({ resource: each.resource }) }, "release");
  const rows = [
    ...prepared.map((each) => [each.resource ?? "every request", `${each.code ? `code ${each.code}` : `status ${each.status}`}${each.accept ? ", accepted" : ""}`, each.times === 1 ? "once" : `${each.times} times`]),
    ...gates.map((each) => [each.resource ?? "every request", `${plural(each.held ?? each.caught, "held answer")}`, release(each)]),
  ];
  return h("section", {}, h("header", {}, h("h2", {}, "Prepared and held answers"), h("button", { class: "button bare", title: "Remove the prepared answers, and release the held answers", onclick: () => actions.api.removeAnswers() }, "remove all")),
    h("ul", { class: "log prepared" }, rows.map((row) => h("li", {}, row.map((text) => h("span", {}, text))))));
}

const plus = (balance, more) => (Math.round((Number(balance) + more) * 10000) / 10000).toFixed(2);
