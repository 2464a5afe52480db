"""Opens a report in headless Chromium: every chart is drawn, zooming works, and the console stays silent.

    browser_test.py MOEPLAN          exit 77 where there is no Chromium, or where the build has no chart library
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n"
PLAN = "name: two-stages\nlayout:\n  tp: 1\n  pp: 2\n  ep: 4\n  dp: 4\nmicro_batch: 1\n"
CHARTS = ["breakdown", "timeline", "ranks", "experts", "layers", "memory", "memory-time", "what-if"]

# Runs behind the page's own script: counts the painted pixels of each canvas, then turns the wheel over the timeline.
PROBE = """
<script>
window.addEventListener('load', function () {
  var found = {painted: {}, zoomed: false};
  document.querySelectorAll('canvas').forEach(function (canvas) {
    var pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    var colours = {};
    for (var i = 0; i < pixels.length; i += 4) if (pixels[i + 3] > 200) colours[pixels[i] + ',' + pixels[i + 1] + ',' + pixels[i + 2]] = true;
    found.painted[canvas.id] = Object.keys(colours).length;
  });
  var chart = Chart.getChart('chart-timeline');
  var before = chart.scales.x.max - chart.scales.x.min;
  var box = chart.canvas.getBoundingClientRect();
  chart.canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: -300, clientX: box.left + box.width / 2, clientY: box.top + 40}));
  found.zoomed = chart.scales.x.max - chart.scales.x.min < before;
  var out = document.createElement('pre');
  out.id = 'probe';
  out.textContent = JSON.stringify(found);
  document.body.appendChild(out);
});
</script>
"""


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


SWEEP = """name: browser
verb: simulate
base: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml, plan: plan.yaml}
axes:
  - cluster.node.nvlink.bandwidth: [100 GB/s, 450 GB/s]
  - load: [uniform, "zipf:1.0", "lognormal:1.35"]
  - plan.micro_batch: [1, 2, 16]
figures: [mfu, step_time_s]
"""

# Of the page of a sweep: what the chart shows, and after another figure, axis and fixed value were chosen.
SWEEP_PROBE = """
<script>
window.addEventListener('load', function () {
  function seen() {
    var chart = Chart.getChart('chart-sweep');
    return {labels: chart.data.labels, lines: chart.data.datasets.map(function (d) { return [d.label, d.data]; })};
  }
  function choose(label, value) {
    document.querySelectorAll('#sweep-controls label').forEach(function (box) {
      if (box.firstChild.textContent.trim() !== label) return;
      var list = box.querySelector('select');
      Array.from(list.options).forEach(function (o) { if (o.textContent === value) list.value = o.value; });
      list.dispatchEvent(new Event('change'));
    });
  }
  var found = {first: seen()};
  choose('figure', 'mfu');
  choose('over', 'cluster.node.nvlink.bandwidth');
  choose('lines', 'none');
  choose('load', 'zipf:1.0');
  choose('plan.micro_batch', '2');
  found.second = seen();
  var out = document.createElement('pre');
  out.id = 'probe';
  out.textContent = JSON.stringify(found);
  document.body.appendChild(out);
});
</script>
"""


def probed(browser, path, page, probe):
    """The DOM of a page and what the probe found, after its scripts have run; the console has to be silent."""
    with open(path("probed.html"), "w") as file:
        file.write(page.replace("</body>", probe + "</body>"))
    shown = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + path("profile"), "--enable-logging=stderr",
         "--window-size=1280,900", "--virtual-time-budget=10000", "--dump-dom", "file://" + path("probed.html")],
        capture_output=True, text=True, timeout=240)
    said = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    assert shown.returncode == 0, shown.stderr[-2000:]
    assert not said, "the console spoke:\n" + "\n".join(said)
    found = re.search(r'<pre id="probe">(.*?)</pre>', shown.stdout)
    assert found, "the page's scripts did not run to their end"
    return shown.stdout, json.loads(found.group(1))


def check_sweep(browser, path):
    with open(path("sweep.yaml"), "w") as file:
        file.write(SWEEP)
    subprocess.run([sys.argv[1], "sweep", path("sweep.yaml"), "-q", "-o", path("sweep")], check=True, capture_output=True)
    with open(os.path.join(path("sweep"), "points.csv")) as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    with open(os.path.join(path("sweep"), "report.html")) as file:
        _, found = probed(browser, path, file.read(), SWEEP_PROBE)

    def close(shown, row, figure):
        return abs(shown - float(row[figure])) < 1e-4 * abs(float(row[figure]))

    # First the two longest axes: micro-batch has one value that fits nowhere.
    first = found["first"]
    assert first["labels"] == ["uniform", "zipf:1.0", "lognormal:1.35"], first
    assert [line[0] for line in first["lines"]] == ["1", "2", "16"] and first["lines"][2][1] == [None] * 3, first
    for micro_batch, line in first["lines"][:2]:
        for load, shown in zip(first["labels"], line):
            of = [r for r in rows if r["load"] == load and r["plan.micro_batch"] == micro_batch]
            assert close(shown, min(of, key=lambda r: float(r["step_time_s"])), "step_time_s"), (load, micro_batch, shown)
    second = found["second"]
    assert second["labels"] == ["100 GB/s", "450 GB/s"] and len(second["lines"]) == 1, second
    for bandwidth, shown in zip(second["labels"], second["lines"][0][1]):
        of = [r for r in rows if r["load"] == "zipf:1.0" and r["plan.micro_batch"] == "2"
              and r["cluster.node.nvlink.bandwidth"] == bandwidth]
        assert len(of) == 1 and close(shown, of[0], "mfu"), (bandwidth, shown)


def main():
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if browser is None:
        skip("no chromium here (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)
        for name, text in [("run.yaml", RUN), ("plan.yaml", PLAN)]:
            with open(path(name), "w") as file:
                file.write(text)
        subprocess.run([sys.argv[1], "simulate", "--cluster", "hgx-h100-1n", "--model", "tiny-moe", "--run", path("run.yaml"),
                        "--plan", path("plan.yaml"), "--load", "zipf:1.0", "--report", path("report.html"), "-o", path("step.txt")],
                       check=True, cwd=ROOT)
        with open(path("report.html")) as file:
            page = file.read()
        if 'id="data"' not in page:
            skip("this build has no chart library (Debian: apt-get install libjs-chart.js)")
        dom, found = probed(browser, path, page, PROBE)
        check_sweep(browser, path)
    assert re.search(r'<body[^>]* data-charts="%d"' % len(CHARTS), dom), "not all charts were drawn"
    for chart in CHARTS:
        # Axes and letters alone paint greys; a chart has bars or lines, whose edges blend into many more colours.
        assert found["painted"].get("chart-" + chart, 0) > 3, "%s is empty: %s" % (chart, found["painted"])
    assert found["zoomed"], "the wheel does not zoom the timeline"
    print("%d charts drawn by %s: %s" % (len(CHARTS), os.path.basename(browser), found["painted"]))


if __name__ == "__main__":
    main()
