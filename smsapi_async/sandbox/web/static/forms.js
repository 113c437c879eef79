// Fields and sections of the panel.
import { view } from "./model.js";
import { h } from "./tools.js";

export const RESOURCES = ["Sms/Send", "Sms/SendBulk", "Sms/SendByTimeZone", "Sms/SendByTimeZoneToAddresses", "Sms/State", "Sms/Statistics", "Sms/In", "User/SessionId", "User/Balance"];

export const section = (title, ...children) => h("section", {}, h("h2", {}, title), ...children);

// A field keeps what was typed or chosen when its sheet is built again.
export function drafted(field, key, initial) {
  field.value = view.drafts.get(key) ?? initial;
  field.dataset.draft = key;
  field.addEventListener("input", () => view.drafts.set(key, field.value));
  return field;
}

export const choice = (label, key, options) => drafted(h("select", { "aria-label": label }, options.map(([value, text]) => h("option", { value }, text ?? value))), key, String(options[0][0]));
export const entry = (label, key, initial, attributes = {}) => drafted(h("input", { class: "field", "aria-label": label, autocomplete: "off", ...attributes }), key, initial);
// The resource of the next requests. An empty value stands for all resources.
export const resourceChoice = (label, key) => choice(label, key, [...RESOURCES.map((each) => [each]), ["", "every request"]]);

export function check(text, key) {
  const box = h("input", { type: "checkbox", checked: view.drafts.get(key) === true, onchange: () => view.drafts.set(key, box.checked) });
  return [h("label", { class: "inline wide" }, box, text), box];
}
