// What the page knows of the sandbox (`seen`), what it shows (`view`), and what follows from both.
import { searchFor } from "./search.js";
import { stateOf } from "./tools.js";

export const seen = {
  messages: [], incoming: [], requests: [], pushes: [], clock: null, account: null, faults: null, info: null,
  live: false,
  trouble: null, // why the page has no connection, after a failed attempt to connect
  version: 0, // grows with each change of messages, incoming messages, requests or pushes
};
export const view = { number: null, message: null, most: 0, tab: "request", request: null, query: "", filter: "all", unread: new Map(), drafts: new Map() };
// Functions that `page.js` sets, and the commands of `api.js`.
export const actions = {};

export function now() {
  const { at, running, speed, read } = seen.clock;
  return at + (running ? (performance.now() - read) * speed : 0);
}

// The result of `make` until the data of the page change.
function cached(make) {
  let version = -1, made;
  return () => {
    if (version !== seen.version) [version, made] = [seen.version, make()];
    return made;
  };
}

export const grouped = cached(() => {
  const found = new Map();
  const enter = (digits, item) => {
    const one = found.get(digits);
    if (one) one.items.push(item);
    else found.set(digits, { digits, items: [item] });
  };
  for (const message of seen.messages) enter(message.destination_address, message);
  for (const message of seen.incoming) enter(message.source_address, message);
  for (const one of found.values()) {
    one.items.sort((a, b) => a.at - b.at);
    one.last = one.items.at(-1);
  }
  return found;
});

export const messagesOf = cached(() => {
  const found = new Map();
  for (const message of seen.messages) {
    if (found.has(message.request)) found.get(message.request).push(message);
    else found.set(message.request, [message]);
  }
  return found;
});

// How the application got each incoming message: the requests Sms/In that returned it, and the pushes.
export const fetched = cached(() => {
  const found = new Map();
  const enter = (id, event) => found.set(String(id), [...(found.get(String(id)) ?? []), event]);
  for (const push of seen.pushes) enter(push.message_id, { push });
  for (const request of seen.requests) for (const id of request.returned) enter(id, { request });
  return found;
});

export const requestsByIndex = cached(() => new Map(seen.requests.map((request) => [request.index, request])));

export const requestOf = (item) => (Number.isInteger(item?.request) ? item.request : null);

function searched(item, at) {
  const state = item.segments ? stateOf(item, at) : null;
  return {
    to: item.destination_address, from: item.source_address, text: item.text, code: item.code ?? null, links: item.links ?? [],
    state: state && {
      code: state.state, label: state.label, description: seen.info.state_descriptions[state.state] ?? "",
      isFailed: state.rank === 3, isPending: state.rank === 2,
    },
  };
}

const FILTERS = {
  all: () => true,
  failed: (item, at) => Boolean(item.segments) && stateOf(item, at).rank === 3,
  replies: (item) => !item.segments,
};

export function conversations() {
  const at = now();
  const all = [...grouped().values()].sort((a, b) => b.last.at - a.last.at || (b.last.number ?? 0) - (a.last.number ?? 0));
  if (!view.query.trim() && view.filter === "all") return all;
  const isFound = searchFor(view.query);
  return all.filter(({ items }) => items.some((item) => isFound(searched(item, at))) && items.some((item) => FILTERS[view.filter](item, at)));
}
