"use strict";
// Optional: sortable tables, a button for light or dark colours, and an edge shadow where a table
// or picture scrolls.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = {
    get() { try { return localStorage.getItem("amid-theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("amid-theme", theme); } catch { /* not from a file */ } },
  };
  const chosen = remembered.get();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "theme";
  const named = () => { button.textContent = now() === "dark" ? "Light colours" : "Dark colours"; };
  button.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    remembered.set(root.dataset.theme);
    named();
  });
  dark.addEventListener("change", named);
  named();
  document.querySelector("header").append(button);

  const key = (row, column) => row.cells[column].dataset.order;
  for (const table of document.querySelectorAll("table")) {
    const headers = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    for (const [column, header] of headers.entries()) {
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...header.childNodes);
      header.append(sorter);
      header.setAttribute("aria-sort", "none");
      sorter.addEventListener("click", () => {
        const numeric = header.classList.contains("number");
        const sorted = header.getAttribute("aria-sort"); // first the largest number, or A
        const up = numeric ? sorted === "descending" : sorted !== "ascending";
        for (const other of headers) other.setAttribute("aria-sort", "none");
        header.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].sort((a, b) => {
          const [first, second] = [key(a, column), key(b, column)];
          if (!first || !second) return !first - !second; // undefined ones last, both ways
          const order = numeric ? first - second : first.localeCompare(second, "en");
          return up ? order : -order;
        });
        body.append(...rows);
      });
    }
  }

  for (const box of document.querySelectorAll(".scroll")) {
    const shade = () => {
      box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
    };
    box.addEventListener("scroll", shade, { passive: true });
    new ResizeObserver(shade).observe(box);
  }

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
