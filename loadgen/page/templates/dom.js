// Small parts that all modules use. Text only, never markup: much of it comes from the services that are being judged.

export const by = (id) => document.getElementById(id);

export const count = (number, decimals = 0) =>
  number == null ? "–" : number.toLocaleString("en", {maximumFractionDigits: decimals});

export const figure = (number) => count(number, number != null && Math.abs(number) < 10 ? 1 : 0);

export const percent = (share) => share == null ? "–" : `${count(share * 100)} %`;

export const time = (text) => text ? new Date(text).toLocaleString() : "–";

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [large, small, size] = whole < 3600 ? ["min", "s", 60] : ["h", "min", 3600];
  const rest = Math.floor(whole % size / (size / 60));
  return `${Math.floor(whole / size)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

export function element(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== "") made.setAttribute(name, value);
  }
  made.append(...[content].flat());
  return made;
}

export function drawing(tag, attributes, ...inner) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inner);
  return made;
}

export function table(columns, rows, {text = 0} = {}) {
  const head = columns.map((name, place) => element("th", name, {scope: "col", class: place && place <= text ? "text" : ""}));
  const body = rows.map(({cells, style}) => element("tr", cells.map((cell, place) => {
    const attributes = {class: place && place <= text ? "text" : ""};
    return place ? element("td", cell, attributes) : element("th", cell, {scope: "row"});
  }), {class: style}));
  return element("table", [element("thead", element("tr", head)), element("tbody", body)]);
}

// Replaces what is in a place only when it has changed, so that text can be selected and the focus stays.
const shown = new WeakMap();

export function fill(place, key, make) {
  const text = JSON.stringify(key);
  if (shown.get(place) === text) return;
  shown.set(place, text);
  place.replaceChildren(...[make()].flat());
}

export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
