"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const size = (count) => {
    let value = count;
    for (const unit of ["B", "KiB", "MiB"]) {
      if (value < 1024) return `${value.toFixed(unit === "MiB" ? 1 : 0)} ${unit}`;
      value /= 1024;
    }
    return `${value.toFixed(1)} GiB`;
  };
  const time = (seconds) => (seconds < 100 ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s` : seconds < 6000 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`);
  const make = (name, parent, classes) => {
    const element = document.createElement(name);
    element.className = classes || "";
    parent.appendChild(element);
    return element;
  };
  const kinds = { ours: "compiled here", python: "Python packages", deb: "distribution", files: "no package's" };

  // Squarified treemap (Bruls, Huizing, van Wijk 2000): rows whose worst aspect ratio gets no better by one more.
  const squarify = (items, x, y, width, height) => {
    const total = items.reduce((sum, item) => sum + item.bytes, 0);
    const found = [];
    if (!total || width <= 0 || height <= 0) return found;
    const scale = (width * height) / total;
    let rest = items.slice().sort((a, b) => b.bytes - a.bytes);
    const worst = (row, side) => {
      const sum = row.reduce((all, item) => all + item.bytes * scale, 0);
      return row.reduce((most, item) => {
        const area = item.bytes * scale;
        return Math.max(most, (side * side * area) / (sum * sum), (sum * sum) / (side * side * area));
      }, 0);
    };
    while (rest.length) {
      const side = Math.min(width, height);
      let row = [rest[0]], at = 1;
      while (at < rest.length && worst(row.concat(rest[at]), side) <= worst(row, side)) row.push(rest[at++]);
      rest = rest.slice(at);
      const thick = row.reduce((sum, item) => sum + item.bytes * scale, 0) / side;
      let along = 0;
      for (const item of row) {
        const long = (item.bytes * scale) / thick;
        found.push(width >= height ? { item, x, y: y + along, w: thick, h: long } : { item, x: x + along, y, w: long, h: thick });
        along += long;
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    }
    return found;
  };

  const map = document.getElementById("treemap"), told = document.getElementById("told"), out = document.getElementById("out");
  const whole = data.cells.reduce((sum, cell) => sum + cell[3], 0);
  let by = "part", inside = null;
  const groups = () => {
    const found = new Map();
    for (const [part, name, colour, bytes, files] of data.cells) {
      if (!bytes) continue;
      const key = by === "part" ? part : colour;
      if (!found.has(key)) {
        const label = by === "part" ? `${data.numbered ? `${part + 1}  ` : ""}${data.parts[part].made || data.parts[part].name}` : kinds[colour];
        found.set(key, { key, label, bytes: 0, items: [] });
      }
      found.get(key).bytes += bytes;
      found.get(key).items.push({ part, name, colour, bytes, files });
    }
    return [...found.values()];
  };
  const place = (element, box, gap) => {
    element.style.left = `${box.x}px`;
    element.style.top = `${box.y}px`;
    element.style.width = `${Math.max(1, box.w - gap)}px`;
    element.style.height = `${Math.max(1, box.h - gap)}px`;
  };
  const choose = (element, item) => {
    for (const other of map.querySelectorAll(".on")) other.classList.remove("on");
    element.classList.add("on");
    const part = data.parts[item.part];
    told.textContent = `${item.name}: ${size(item.bytes)}, ${(100 * item.bytes / whole).toFixed(1)} % of all, ${item.files.toLocaleString("en")} files, ${kinds[item.colour]}. ${data.parts.length > 1 ? `In ${data.numbered ? `layer ${item.part + 1}: ` : ""}${(part.made || part.name).slice(0, 120)}` : ""}`;
  };
  const draw = () => {
    map.replaceChildren();
    const all = groups();
    const shown = inside === null ? all : all.filter((group) => group.key === inside);
    out.hidden = inside === null;
    for (const box of squarify(shown, 0, 0, map.clientWidth, map.clientHeight)) {
      const frame = make("div", map, "group");
      place(frame, box, 2);
      const head = box.h > 44 && box.w > 40 ? 20 : 0;
      if (head) {
        const title = make("b", frame);
        title.textContent = `${box.item.label}  ${size(box.item.bytes)}`;
        title.title = box.item.label;
        title.addEventListener("click", () => { inside = inside === null ? box.item.key : null; draw(); });
      }
      for (const cell of squarify(box.item.items, 1, head, box.w - 3, box.h - head - 3)) {
        const field = make("div", frame, `cell c-${cell.item.colour}`);
        place(field, cell, 1);
        field.title = `${cell.item.name}  ${size(cell.item.bytes)}`;
        if (cell.w > 52 && cell.h > 20) {
          field.textContent = cell.item.name;
          if (cell.h > 36) make("em", field).textContent = size(cell.item.bytes);
        } else field.style.padding = "0";
        field.addEventListener("click", () => choose(field, cell.item));
      }
    }
  };
  for (const button of document.querySelectorAll("[data-group]"))
    button.addEventListener("click", () => {
      by = button.dataset.group; inside = null;
      for (const other of document.querySelectorAll("[data-group]")) other.setAttribute("aria-pressed", String(other === button));
      draw();
    });
  out.addEventListener("click", () => { inside = null; draw(); });
  draw();

  const gantt = document.getElementById("gantt"), ran = document.getElementById("ran");
  let replayed = Number((document.querySelector('[data-replay][aria-pressed="true"]') || { dataset: { replay: 0 } }).dataset.replay);
  const svg = (name, parent, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.appendChild(element);
    return element;
  };
  const chart = () => {
    if (!gantt || !data.compile) return;
    const replay = data.compile.replays[replayed];
    const lanes = 1 + replay.bars.reduce((most, bar) => Math.max(most, bar[1]), 0);
    const width = gantt.clientWidth, lane = Math.max(2, Math.min(26, 340 / lanes)), height = lanes * lane + 22;
    gantt.replaceChildren();
    const picture = svg("svg", gantt, { width, height, viewBox: `0 0 ${width} ${height}` });
    const scale = width / (replay.seconds || 1);
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800];
    const step = steps.find((each) => each * scale > 64) || 57600;
    for (let at = 0; at < replay.seconds; at += step) {
      svg("line", picture, { x1: at * scale, x2: at * scale, y1: 0, y2: height - 18 });
      svg("text", picture, { x: at * scale + 3, y: height - 6 }).textContent = time(at);
    }
    for (const [edge, row, begin, long, decides] of replay.bars) {
      const bar = svg("rect", picture, { x: begin * scale, y: row * lane + 1, width: Math.max(0.6, long * scale - 0.4), height: Math.max(1, lane - 1.2), rx: lane > 8 ? 2 : 0 });
      if (decides) bar.setAttribute("class", "hot");
      bar.addEventListener("click", () => {
        for (const other of picture.querySelectorAll(".on")) other.classList.remove("on");
        bar.classList.add("on");
        ran.textContent = `${data.compile.names[edge]}: ${time(long)}, from ${time(begin)} on${decides ? "; it decides the end" : ""}`;
      });
      svg("title", bar, {}).textContent = `${data.compile.names[edge]}  ${time(long)}`;
    }
    ran.textContent = `${replay.jobs} jobs: ${time(replay.seconds)}; no order can do it in less than ${time(replay.bound)}.`;
  };
  for (const button of document.querySelectorAll("[data-replay]"))
    button.addEventListener("click", () => {
      replayed = Number(button.dataset.replay);
      for (const other of document.querySelectorAll("[data-replay]")) other.setAttribute("aria-pressed", String(other === button));
      chart();
    });
  chart();

  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone hides its address bar while it scrolls
    width = window.innerWidth;
    draw(); chart();
  });

  const body = document.querySelector("#bill tbody"), rows = [...body.rows], count = document.getElementById("count");
  document.getElementById("filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      left += row.hidden ? 0 : 1;
    }
    count.textContent = left === rows.length ? String(left) : `${left} of ${rows.length}`;
  });
  for (const button of document.querySelectorAll("[data-sort]"))
    button.addEventListener("click", () => {
      const column = Number(button.dataset.sort), head = button.parentElement;
      const up = head.getAttribute("aria-sort") === "descending" || (head.getAttribute("aria-sort") === "none" && column !== 4);
      for (const other of document.querySelectorAll("#bill th[aria-sort]")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => (row.cells[column].dataset.value ? Number(row.cells[column].dataset.value) : row.cells[column].textContent);
      rows.sort((a, b) => {
        const one = value(a), two = value(b);
        const order = typeof one === "number" ? one - two : one.localeCompare(two, "en");
        return up ? order : -order;
      });
      body.append(...rows);
    });
})();
