// The content of the tab Audit on Locust's page. Locust's own extensions draw tables only; so this is our page, framed.
"use strict";
const root = document.getElementById("root");
const frame = document.createElement("iframe");
frame.title = "Audit";
frame.style.cssText = "display: none; position: fixed; left: 0; width: 100%; border: 0";
root.after(frame); // not inside: that is React's

function show() {
  const tab = document.querySelector('[role="tab"][aria-selected="true"]');
  const wanted = tab !== null && tab.textContent.trim().toLowerCase() === "audit";
  frame.style.display = wanted ? "block" : "none";
  if (!wanted) return;
  if (!frame.src) frame.src = "audit";
  const top = `${Math.ceil(tab.getBoundingClientRect().bottom) + 1}px`;
  frame.style.top = top;
  frame.style.height = `calc(100dvh - ${top})`;
  if (frame.contentDocument?.body) dress(frame.contentDocument);
}

// In Locust's colours: it has a switch for light and dark of its own.
function dress(inner) {
  const color = getComputedStyle(document.body).backgroundColor;
  const [red] = color.match(/\d+/) ?? ["255"];
  inner.documentElement.style.colorScheme = Number(red) < 128 ? "dark" : "light";
  inner.body.style.backgroundColor = color;
}

frame.addEventListener("load", show);
window.addEventListener("resize", show);
new MutationObserver(show).observe(root, {subtree: true, childList: true, attributes: true});
