"""Opens a report in headless Chromium: every chart is drawn, zooming works, and the console stays silent.

    browser_test.py MOEPLAN          exit 77 where there is no Chromium, or where the build has no chart library
"""

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
        with open(path("probed.html"), "w") as file:
            file.write(page.replace("</body>", PROBE + "</body>"))
        shown = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + path("profile"), "--enable-logging=stderr",
             "--window-size=1280,900", "--virtual-time-budget=10000", "--dump-dom", "file://" + path("probed.html")],
            capture_output=True, text=True, timeout=240)
    said = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    assert shown.returncode == 0, shown.stderr[-2000:]
    assert not said, "the console spoke:\n" + "\n".join(said)
    probe = re.search(r'<pre id="probe">(.*?)</pre>', shown.stdout)
    assert probe, "the page's scripts did not run to their end"
    found = json.loads(probe.group(1))
    assert re.search(r'<body[^>]* data-charts="%d"' % len(CHARTS), shown.stdout), "not all charts were drawn"
    for chart in CHARTS:
        # Axes and letters alone paint greys; a chart has bars or lines, whose edges blend into many more colours.
        assert found["painted"].get("chart-" + chart, 0) > 3, "%s is empty: %s" % (chart, found["painted"])
    assert found["zoomed"], "the wheel does not zoom the timeline"
    print("%d charts drawn by %s: %s" % (len(CHARTS), os.path.basename(browser), found["painted"]))


if __name__ == "__main__":
    main()
