// The search of the page. Its terms are those of `search.py`, with which the control API searches; a test
// compares the results of both.
const PHONE = String.raw`(?:\+7|[78])(?:[ ()-]{0,2}[0-9]){10}(?!\S)|\+(?!7)[0-9]{1,3}(?:[ ()-]{1,2}[0-9]{2,7}){2,4}(?!\S)`;
const TERM = new RegExp(String.raw`([-!]?)(?:(to|from|state|text|has):)?(?:["“”]([^"“”]*)(?:["“”]|$)|(${PHONE}|\S*))`, "gi");
const MOST_TERMS = 200, SHORTEST_NUMBER = 5;

// A text for comparisons: in lower case, with "е" for "ё", and with single spaces.
const folded = (text) => text.normalize("NFC").toUpperCase().toLowerCase().replaceAll("ё", "е").split(/\s+/).filter(Boolean).join(" ");

// The terms of a query: whether the term must not match, the key or "", and the value.
function termsOf(query) {
  const found = new Map();
  for (const [, sign, key = "", phrase, word] of query.matchAll(TERM)) {
    const term = { not: sign !== "", key: key.toLowerCase(), value: folded(phrase ?? word) };
    if (term.value) found.set(JSON.stringify(term), term);
    if (found.size === MOST_TERMS) break;
  }
  return [...found.values()];
}

const digitsOf = (value) => (/^[0-9+() .-]+$/.test(value) ? value.replace(/[^0-9]/g, "") : "");

// In Russia, people write 8 in place of the country code 7.
function isInAddress(digits, address) {
  const isNational = digits[0] === "8" && digits.length > 3;
  return address.includes(digits) || (isNational && address.replace(/^\++/, "").startsWith(`7${digits.slice(1)}`));
}

function hasAddress(address, value) {
  const digits = digitsOf(value);
  return address.includes(value) || (digits !== "" && isInAddress(digits, address));
}

function hasWord({ to, from, text }, value) {
  if (text.includes(value) || to.includes(value) || from.includes(value)) return true;
  const digits = digitsOf(value);
  // "1-2" and "12.30" are no parts of a telephone number.
  return digits.length >= SHORTEST_NUMBER && (isInAddress(digits, to) || isInAddress(digits, from));
}

function hasState({ state }, value) {
  if (!state) return false;
  if (/^-?[0-9]+$/.test(value)) return value === String(state.code);
  return state.label.toLowerCase().includes(value.replace(/[_-]/g, " ")) || folded(state.description).includes(value)
    || (value === "failed" && state.isFailed) || (value === "pending" && state.isPending);
}

const has = ({ code, links }, value) => (["code", "codes"].includes(value) ? code !== null : ["link", "links", "url", "urls"].includes(value) && links.length > 0);

const TESTS = {
  to: ({ to }, value) => hasAddress(to, value),
  from: ({ from }, value) => hasAddress(from, value),
  text: ({ text }, value) => text.includes(value),
  state: hasState,
  has,
  "": hasWord,
};

// A function that tells whether a message fulfils all terms of a query. A message has `to`, `from`, `text`, `code` (or
// null), `links` and `state` (null for an incoming message; else `code`, `label`, `description`, `isFailed`, `isPending`).
export function searchFor(query) {
  const terms = termsOf(query);
  return (message) => {
    const parts = { ...message, to: folded(message.to), from: folded(message.from), text: folded(message.text) };
    return terms.every(({ not, key, value }) => TESTS[key](parts, value) !== not);
  };
}
