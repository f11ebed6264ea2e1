"use strict";
(() => {
  // Charts are specified for this width; they are drawn for that of the window, within reason.
  const reference = 850, least = 0.72;

  const scaled = (value, factor) => {
    if (Array.isArray(value)) return value.map((item) => scaled(item, factor));
    if (value === null || typeof value !== "object") return value;
    const copy = {};
    for (const [key, item] of Object.entries(value)) {
      if (key === "data" || key === "datasets") copy[key] = item;
      else if (key === "width" && typeof item === "number") copy[key] = Math.round(item * factor);
      else copy[key] = scaled(item, factor);
    }
    return copy;
  };

  const draw = async () => {
    for (const holder of document.querySelectorAll("script[data-chart]")) {
      const chart = document.getElementById("chart-" + holder.dataset.chart);
      const factor = Math.max(least, Math.min(1.2, chart.clientWidth / reference));
      const spec = scaled(JSON.parse(holder.textContent), factor);
      const options = { mode: "vega-lite", renderer: "svg", actions: false };
      const drawn = await vegaEmbed(chart, spec, options);
      chart.view = drawn.view;
    }
    document.body.dataset.drawn = "yes";
  };

  const root = document.documentElement, button = document.getElementById("theme");
  const dark = () =>
    root.classList.contains("dark") ||
    (!root.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
  const label = () => { button.textContent = dark() ? "Light theme" : "Dark theme"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    root.classList.remove("light", "dark");
    root.classList.add(next);
    label();
  });
  label();

  // A table that is folded away would not be on paper; the charts are.
  let width = window.innerWidth, waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (Math.abs(window.innerWidth - width) < 8 || window.matchMedia("print").matches) return;
      width = window.innerWidth;
      draw();
    }, 200);
  });
  if (window.vegaEmbed) draw();
  else document.body.dataset.drawn = "yes";
})();
