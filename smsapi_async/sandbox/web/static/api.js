// The control API: reads the state, follows the events, and sends the commands of the page.

const API = new URL("api/v1/", document.baseURI);
const SAMPLE_NUMBER = "79031234567";
const RETRY = 500, LONGEST_RETRY = 3000; // milliseconds

async function fetched(url, request) {
  try {
    return await fetch(url, request);
  } catch {
    throw new Error("The sandbox does not answer. Is it still running?");
  }
}

async function call(method, path, fields) {
  const request = { method, cache: "no-store", headers: { accept: "application/json" } };
  if (fields !== undefined) {
    request.body = JSON.stringify(fields);
    request.headers["content-type"] = "application/json";
  }
  const response = await fetched(new URL(path, API), request);
  const text = await response.text();
  const answer = parsed(text);
  if (!response.ok) throw new Error(errorText(answer) ?? `The sandbox answers ${method} ${path} with the status ${response.status}.`);
  return answer ?? true;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function errorText(answer) {
  const error = answer?.error ?? answer?.detail ?? answer?.message;
  if (typeof error === "string") return error;
  return error?.message ?? null;
}

// --- the data in the form that the page reads --------------------------------------------------------------
const moment = (text) => (text ? Date.parse(text) : null);

function message(data) {
  const segments = data.segments.map((segment) => ({
    ...segment,
    steps: (segment.timeline ?? []).map((step) => (Array.isArray(step) ? [moment(step[0]), step[1]] : [moment(step.at), step.state])),
  }));
  return { ...data, key: `m${data.number ?? data.id}`, segments, at: moment(data.accepted_at), due: moment(data.send_date), links: data.links ?? [], utc_offset: data.utc_offset ?? 180 };
}

const incoming = (data) => ({ ...data, key: `i${data.id}`, at: moment(data.created_at) });

// The ids of the incoming messages that an answer of Sms/In contains.
function returned({ resource, status, answer }) {
  if (resource !== "Sms/In" || status !== 200) return [];
  const found = parsed(String(answer));
  return Array.isArray(found) ? found.map((each) => each.MessageId ?? each.MessageID ?? each.Id ?? each.ID).filter((id) => id !== undefined) : [];
}

function request(data) {
  const answer = data.answer ?? "";
  return { ...data, answer: typeof answer === "string" ? answer : JSON.stringify(answer), parameters: data.parameters ?? [], headers: data.headers ?? [], answer_headers: data.answer_headers ?? [], returned: returned(data) };
}

const clock = (data) => ({ at: moment(data.now), running: data.running, speed: data.speed, read: performance.now() });

const FORMS = { message, incoming, request };

// Follow the sandbox for as long as the page is open.
// seen: the data of the page, which this function keeps up to date.
// render: draws the page. arrive: gets each new message. opened: is called after the whole state was read.
// cleared: is called after the messages were removed.
export function connect({ seen, render, arrive, opened, cleared }) {
  const places = { messages: new Map(), incoming: new Map(), requests: new Map(), pushes: new Map() };
  const keys = { messages: (each) => each.key, incoming: (each) => each.key, requests: (each) => each.index, pushes: (each) => `${each.message_id} ${each.attempt}` };
  let source, wait = RETRY, run = null, attempt = 0, timer;

  // Add a record, or put it in the place of its earlier version. A sandbox keeps a limited number of records.
  function put(list, record) {
    const key = keys[list](record);
    const old = places[list].get(key);
    places[list].set(key, record);
    seen.version += 1;
    if (old) {
      seen[list][seen[list].lastIndexOf(old)] = record;
      return false;
    }
    seen[list].push(record);
    const keep = seen.info?.keep;
    while (keep && seen[list].length > keep) places[list].delete(keys[list](seen[list].shift()));
    return true;
  }

  function fill(state) {
    for (const list of ["messages", "incoming", "requests", "pushes"]) {
      const form = FORMS[list.replace(/s$/, "")] ?? ((data) => data);
      seen[list] = (state[list] ?? []).map(form);
      places[list] = new Map(seen[list].map((record) => [keys[list](record), record]));
    }
    Object.assign(seen, { clock: clock(state.clock), account: state.account, faults: state.faults, info: state.info });
    seen.version += 1;
  }

  function readAll(state) {
    const isFirst = seen.clock === null;
    // After a restart of the sandbox, all messages are new.
    const last = run === state.info.instance ? seen.messages.at(-1)?.number ?? 0 : 0;
    run = state.info.instance;
    fill(state);
    // Messages that arrived while the page had no connection are unread, too.
    if (!isFirst && !seen.messages.length && !seen.incoming.length) cleared();
    if (!isFirst) for (const each of seen.messages) if (each.number > last) arrive(each);
    opened();
  }

  // Requests to the gateway change the balance and the sessions without an event of the account.
  let reading = null, accounts = 0;
  function readAccount() {
    reading ??= setTimeout(async () => {
      reading = null;
      const mine = ++accounts;
      try {
        const account = await call("GET", "account");
        // An event or an answer that came in the meantime may be newer than this answer, or older.
        if (mine !== accounts) { readAccount(); return; }
        seen.account = account;
        render();
      } catch { /* The stream of events tells that the sandbox has ended. */ }
    }, 150);
  }

  // Plans of faults are saved one after another, in the order of the user's changes.
  let savedPlans = Promise.resolve(), unsavedPlans = 0;
  const on = {
    message: (data) => { const made = message(data); if (put("messages", made)) arrive(made); readAccount(); },
    incoming: (data) => put("incoming", incoming(data)),
    request: (data) => { put("requests", request(data)); readAccount(); },
    answer: (data) => { put("requests", request(data)); readAccount(); },
    state: (data) => put("messages", message(data)),
    push: (data) => put("pushes", data),
    clock: (data) => { seen.clock = clock(data); },
    account: (data) => { seen.account = data; accounts += 1; },
    // While the page saves a plan, events tell of older plans.
    faults: (data) => { seen.faults = unsavedPlans ? { ...data, plan: seen.faults.plan } : data; },
    cleared: () => {
      for (const [list, known] of Object.entries(places)) { seen[list] = []; known.clear(); }
      seen.version += 1;
      cleared();
    },
  };

  async function open() {
    const mine = ++attempt;
    let state;
    try {
      state = await call("GET", "state");
    } catch (error) {
      if (mine === attempt) { seen.trouble = error.message; later(); }
      return;
    }
    // A later attempt reads a newer state, and follows the events from there.
    if (mine !== attempt) return;
    readAll(state);
    source = new EventSource(new URL(`events?after=${state.last}&instance=${run}`, API));
    source.onopen = () => { wait = RETRY; seen.live = true; seen.trouble = null; render(); };
    source.onerror = () => {
      if (!seen.live) seen.trouble = "The sandbox sends no events to this page. Are too many pages open?";
      later();
    };
    // After a gap or a restart of the sandbox, only the whole state is right.
    source.addEventListener("reset", again);
    for (const [kind, act] of Object.entries(on)) source.addEventListener(kind, (event) => { act(JSON.parse(event.data)); render(); });
  }

  function again() {
    clearTimeout(timer);
    source?.close();
    open();
  }

  // Read the whole state again after the connection was lost: the sandbox may be another one.
  function later() {
    source?.close();
    seen.live = false;
    render();
    clearTimeout(timer);
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 1.5, LONGEST_RETRY);
  }

  const onPage = new Map();
  // Send a message as any client does: with a login and a request to the gateway.
  async function sample() {
    const { login, password, source_addresses } = seen.info;
    const from = (seen.account.source_addresses ?? source_addresses)?.[0] ?? "ACME";
    const rest = new URL("rest/", document.baseURI);
    const logIn = () => gateway(new URL(`User/SessionId?${new URLSearchParams({ login, password })}`, rest));
    const code = String(100000 + Math.floor(Math.random() * 900000));
    const send = (session) => {
      onPage.set("session", session);
      const body = new URLSearchParams({ SessionID: session, DestinationAddress: SAMPLE_NUMBER, SourceAddress: from, Data: `Your code is ${code}. Do not tell it to anyone.` });
      return gateway(new URL("Sms/Send", rest), { method: "POST", body });
    };
    const known = onPage.get("session");
    try {
      await send(known ?? (await logIn()));
    } catch (error) {
      onPage.delete("session");
      // The session has ended, because the clock moved on or somebody ended all sessions. Nothing was sent.
      if (!known || ![3, 4].includes(error.code)) throw error;
      await send(await logIn());
    }
  }

  async function gateway(url, options = {}) {
    const response = await fetched(url, { cache: "no-store", ...options });
    const answer = parsed(await response.text());
    if (!response.ok) {
      const refusal = new Error(`The gateway refused the sample: ${answer?.Desc ?? response.status}${answer?.Code ? ` (code ${answer.Code})` : ""}`);
      throw Object.assign(refusal, { code: answer?.Code });
    }
    return answer;
  }

  open();
  return {
    sample,
    receive: (fields) => call("POST", "incoming", fields),
    advance: (seconds) => call("POST", "clock/advance", { seconds }),
    clock: (fields) => call("PATCH", "clock", fields),
    account: (fields) => call("PATCH", "account", fields),
    expire: () => call("POST", "account/expire-sessions"),
    refuse: (fields) => call("POST", "refusals", fields),
    answer: (fields) => call("POST", "answers", fields),
    release: (fields) => call("POST", "answers/release", fields),
    removeAnswers: () => call("DELETE", "answers"),
    state: (id, state) => call("PUT", `messages/${encodeURIComponent(id)}/state`, { state }),
    faults: async (plan) => {
      unsavedPlans += 1;
      try {
        const saved = savedPlans.then(() => call("PUT", "faults", plan));
        savedPlans = saved.catch(() => {});
        const { base_url, history, ...stored } = await saved;
        if (unsavedPlans === 1) seen.faults = { ...seen.faults, base_url, history, plan: stored };
        return true;
      } catch (error) {
        again(); // The page may show a plan that the sandbox has refused.
        throw error;
      } finally {
        unsavedPlans -= 1;
      }
    },
    clearFaults: () => call("DELETE", "faults"),
    clear: () => call("DELETE", "messages"),
    reset: () => call("POST", "reset"),
  };
}
