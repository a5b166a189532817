// Keys and relative times. The page works without this file.
(() => {
  "use strict";
  const UNITS = [[86400, "d", 172800], [3600, "h", 3600], [60, "min", 60], [1, "s", 1]];

  function relative(at) {
    const seconds = (Date.now() - at) / 1000;
    const size = Math.abs(seconds);
    if (size < 1) return "now";
    const [unit, word] = UNITS.find(([, , least]) => size >= least);
    const text = `${Math.floor(size / unit)} ${word}`;
    return seconds > 0 ? `${text} ago` : `in ${text}`;
  }

  function duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    const two = (number) => String(number).padStart(2, "0");
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
    if (whole < 86400) return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole % 3600 / 60))}m`;
    return `${Math.floor(whole / 86400)}d ${two(Math.floor(whole % 86400 / 3600))}h`;
  }

  function refreshTimes() {
    for (const time of document.querySelectorAll("time.rel")) {
      const text = relative(Date.parse(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
    for (const time of document.querySelectorAll("time.elapsed")) {
      const text = duration((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  let marked = "";

  function rows() {
    return [...document.querySelectorAll("[data-rows] tbody tr")].filter((row) => row.querySelector("a, summary"));
  }

  function move(step) {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("at"));
    const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + step, 0), all.length - 1);
    all.forEach((row, place) => row.classList.toggle("at", place === next));
    marked = all[next].id;
    const target = all[next].querySelector("a, summary");
    target.focus({ preventScroll: true });
    all[next].scrollIntoView({ block: "nearest" });
  }

  function go(letter) {
    const number = { a: 0, j: 1, s: 2, c: 3, w: 4 }[letter];
    const link = number === undefined ? null : document.querySelectorAll(".side nav a")[number];
    if (link) link.click();
  }

  let afterG = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (afterG) {
      afterG = false;
      go(event.key);
      return;
    }
    switch (event.key) {
      case "/": {
        const search = document.querySelector("[data-search]");
        if (!search) { go("j"); return; }
        event.preventDefault();
        search.focus();
        search.select();
        break;
      }
      case "j": move(1); break;
      case "k": move(-1); break;
      case "g": afterG = true; break;
      case "?": document.getElementById("keys")?.showModal(); break;
    }
  });

  // Updates wait while somebody types, has selected text, has a menu open, or is about to press a button:
  // nothing may move under their hands.
  function busy(live) {
    const active = document.activeElement;
    if (live.contains(active) && active.matches("input, textarea, select")) return "while you type";
    if (live.querySelector("details.menu[open]")) return "while a menu is open";
    if (live.querySelector("button:hover")) return "while you point at a button";
    const selection = getSelection();
    if (!selection.isCollapsed && live.contains(selection.anchorNode)) return "while text is selected";
    return "";
  }

  function say(text) {
    const freshness = document.getElementById("freshness");
    if (freshness && freshness.textContent !== text) freshness.textContent = text;
  }

  if (document.getElementById("live")) say("Connecting…");
  document.addEventListener("htmx:sse:before:message", (event) => {
    const live = document.getElementById("live");
    if (!live || !busy(live)) return;
    event.detail.waitUntil(new Promise((go) => {
      const timer = setInterval(() => {
        const why = busy(live);
        say(why ? `Paused ${why}` : "Live");
        if (!why) { clearInterval(timer); go(); }
      }, 200);
    }));
  });
  document.addEventListener("htmx:sse:after:connection", () => say("Live"));
  const LOST = { 401: "sign in again", 403: "not allowed any more", 429: "too many pages of your account are open" };
  document.addEventListener("htmx:sse:error", (event) => {
    say(`Paused: ${LOST[event.detail.status] ?? "no connection"}`);
  });
  // A refused stream never replaces the page: the page stays as it was read, and says why it does not update.
  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    ctx.swap = "none";
    const isText = ctx.response.headers.get("Content-Type")?.startsWith("text/plain");
    say(`Not updating: ${isText ? ctx.text : `the server answered ${ctx.response.status}`}`);
  });
  document.addEventListener("htmx:sse:close", (event) => {
    say(event.detail.reason === "message" ? "" : "Paused: reload to see changes");
  });
  // The marked row stays marked: an update knows nothing of it.
  document.addEventListener("htmx:sse:after:message", () => {
    refreshTimes();
    if (marked) document.getElementById(marked)?.classList.add("at");
  });

  setInterval(refreshTimes, 1000);
})();
