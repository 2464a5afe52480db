// Charts of a report: reads the JSON of #data and draws it with Chart.js. Without scripts a page shows tables and
// static pictures.
'use strict';
(function () {
  var data = JSON.parse(document.getElementById('data').textContent);
  var body = document.body;
  var drawn = 0;
  body.classList.add('charts');

  var dark = window.matchMedia('(prefers-color-scheme: dark)').matches;
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.color = dark ? '#e6edf3' : '#1b1f24';
  Chart.defaults.borderColor = dark ? '#30363d' : '#d8dee4';
  Chart.defaults.font.family = 'system-ui, sans-serif';

  var palette = ['#3b7dd8', '#e0802f', '#3f9b63', '#c9444d', '#8c62c4', '#a7adb5', '#7a6a53', '#2aa5a0', '#d46bb3'];

  function draw(id, height, config) {
    var canvas = document.getElementById(id);
    if (!canvas) return null;
    canvas.parentNode.style.height = height + 'px';
    drawn += 1;
    return new Chart(canvas, config);
  }

  function seconds(s) {
    if (s >= 1) return s.toPrecision(4) + ' s';
    if (s >= 1e-3) return (s * 1e3).toPrecision(4) + ' ms';
    return (s * 1e6).toPrecision(4) + ' us';
  }

  function title(text) { return {display: true, text: text}; }

  function drawBreakdown() {
    var plans = data.plans;
    draw('chart-breakdown', 90 + 34 * plans.length, {
      type: 'bar',
      data: {
        labels: plans.map(function (p) { return p.name; }),
        datasets: data.parts.map(function (part, i) {
          return {label: part.name, backgroundColor: part.colour, data: plans.map(function (p) {
            // What rounding leaves would draw an axis below 0.
            return Math.abs(p.parts[i]) < 1e-6 * p.step_s ? 0 : p.parts[i];
          })};
        })
      },
      options: {
        indexAxis: 'y',
        scales: {x: {stacked: true, title: title('seconds')}, y: {stacked: true}},
        plugins: {tooltip: {callbacks: {label: function (c) {
          return c.dataset.label + ': ' + seconds(c.raw) + ' (' + (100 * c.raw / plans[c.dataIndex].step_s).toFixed(1) + ' %)';
        }}}}
      }
    });
  }

  // Wheel zooms around the pointer, dragging moves, a double click shows the whole.
  function makeZoomable(chart, end) {
    var canvas = chart.canvas;
    var grabbed = null;
    function show(from, to) {
      var width = Math.min(to - from, end);
      from = Math.max(0, Math.min(from, end - width));
      chart.options.scales.x.min = from;
      chart.options.scales.x.max = from + width;
      chart.update('none');
    }
    function at(event) {
      return chart.scales.x.getValueForPixel(event.clientX - canvas.getBoundingClientRect().left);
    }
    canvas.addEventListener('wheel', function (event) {
      event.preventDefault();
      var x = chart.scales.x;
      var here = at(event);
      var factor = Math.pow(1.0015, event.deltaY);
      if ((x.max - x.min) * factor < end * 1e-5) return;
      show(here - (here - x.min) * factor, here + (x.max - here) * factor);
    }, {passive: false});
    canvas.addEventListener('pointerdown', function (event) { grabbed = at(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener('pointerup', function () { grabbed = null; });
    canvas.addEventListener('pointermove', function (event) {
      if (grabbed === null) return;
      var moved = grabbed - at(event);
      show(chart.scales.x.min + moved, chart.scales.x.max + moved);
    });
    canvas.addEventListener('dblclick', function () { show(0, end); });
  }

  function drawTimeline() {
    var t = data.timeline;
    var labels = [];
    for (var s = 0; s < t.stages; ++s) labels.push('stage ' + s, 'network ' + s);
    var end = t.end_ms;
    var sets = t.kinds.map(function (kind) {
      return {label: kind.name, data: [], backgroundColor: [], grouped: false, barPercentage: 0.96, categoryPercentage: 0.96};
    });
    t.bars.forEach(function (bar) {
      var kind = t.kinds[bar[1]];
      var set = sets[bar[1]];
      set.data.push({x: [bar[4], bar[4] + bar[5]], y: (kind.network ? 'network ' : 'stage ') + bar[0], chunk: bar[2], batch: bar[3]});
      // Every other micro-batch is lighter, so that neighbours can be told apart.
      set.backgroundColor.push(kind.colour + (bar[3] % 2 === 1 ? 'b0' : 'ff'));
    });
    var chart = draw('chart-timeline', 110 + 26 * labels.length, {
      type: 'bar',
      data: {labels: labels, datasets: sets.filter(function (set) { return set.data.length > 0; })},
      options: {
        indexAxis: 'y',
        scales: {x: {min: 0, max: end, ticks: {includeBounds: false}, title: title('ms from the start of the step' + (t.left_out > 0 ? ' (' + t.left_out + ' bars of the middle or of transfers left out)' : ''))}, y: {grid: {display: false}}},
        plugins: {
          legend: {labels: {generateLabels: function (c) {
            return Chart.defaults.plugins.legend.labels.generateLabels(c).map(function (l) {
              l.fillStyle = c.data.datasets[l.datasetIndex].backgroundColor[0].slice(0, 7);
              return l;
            });
          }}},
          tooltip: {callbacks: {
            title: function (items) { return items[0].label; },
            label: function (c) {
              var bar = c.raw;
              var text = c.dataset.label;
              if (bar.batch >= 0) text += ', micro-batch ' + bar.batch;
              if (bar.chunk >= 0) text += ', chunk ' + bar.chunk;
              return [text, seconds((bar.x[1] - bar.x[0]) / 1e3) + ' from ' + bar.x[0].toFixed(3) + ' ms'];
            }
          }}
        }
      }
    });
    if (chart) makeZoomable(chart, end);
  }

  function drawLoads() {
    var loads = data.loads;
    function bars(id, what, values, worst) {
      draw(id, 240, {
        type: 'bar',
        data: {
          labels: values.map(function (v, i) { return i; }),
          datasets: [
            {label: 'tokens of this ' + what + ' over the mean, all layers', data: values, backgroundColor: palette[0], order: 3},
            {type: 'line', label: 'in its busiest layer', data: worst, showLine: false, pointRadius: 2, backgroundColor: palette[1], borderColor: palette[1], order: 2},
            {type: 'line', label: 'mean', data: values.map(function () { return 1; }), borderColor: palette[3], borderWidth: 1.5, pointRadius: 0, order: 1}
          ]
        },
        options: {scales: {x: {title: title(what)}, y: {beginAtZero: true}}}
      });
    }
    bars('chart-ranks', 'rank', loads.per_rank, loads.per_rank_busiest);
    bars('chart-experts', 'expert', loads.per_expert, loads.per_expert_busiest);
    draw('chart-layers', 240, {
      type: 'line',
      data: {
        labels: loads.max_over_mean.map(function (v, i) { return i; }),
        datasets: [
          {label: 'ranks: max / mean', data: loads.max_over_mean, borderColor: palette[0], backgroundColor: palette[0]},
          {label: 'experts: max / mean', data: loads.expert_max_over_mean, borderColor: palette[1], backgroundColor: palette[1]}
        ]
      },
      options: {scales: {x: {title: title('MoE layer')}, y: {beginAtZero: true}}}
    });
  }

  function drawMemory() {
    var memory = data.memory;
    var sets = memory.parts.map(function (name, i) {
      return {label: name, stack: 'held', backgroundColor: palette[i % palette.length], data: memory.stages.map(function (s) { return s[i]; }), order: 2};
    });
    sets.push({type: 'line', stack: 'limit', label: 'limit', data: memory.stages.map(function () { return memory.limit_gib; }), borderColor: palette[3],
               borderDash: [6, 4], pointRadius: memory.stages.length === 1 ? 4 : 0, backgroundColor: palette[3], order: 1});
    draw('chart-memory', 320, {
      type: 'bar',
      data: {labels: memory.stages.map(function (s, i) { return 'stage ' + i; }), datasets: sets},
      options: {scales: {x: {stacked: true}, y: {stacked: true, beginAtZero: true, title: title('GiB')}}}
    });
    if (!memory.timeline) return;
    draw('chart-memory-time', 320, {
      type: 'line',
      data: {datasets: memory.timeline.map(function (points, i) {
        return {label: 'stage ' + i, stepped: true, pointRadius: 0, borderWidth: 1.5, borderColor: palette[i % palette.length],
                backgroundColor: palette[i % palette.length], data: points.map(function (p) { return {x: p[0], y: p[1]}; })};
      })},
      options: {parsing: false, interaction: {mode: 'nearest', intersect: false},
                scales: {x: {type: 'linear', title: title('ms from the start of the step'), max: data.timeline.end_ms, ticks: {includeBounds: false}},
                         y: {beginAtZero: true, title: title('GiB allocated')}}}
    });
  }

  function drawWhatIf() {
    var changes = data.what_if;
    draw('chart-what-if', 80 + 34 * changes.length, {
      type: 'bar',
      data: {
        labels: changes.map(function (c) { return c.change; }),
        datasets: [{label: 'step time saved, %', data: changes.map(function (c) { return 100 * c.gain; }),
                    backgroundColor: changes.map(function (c) { return c.gain < 0 ? palette[3] : palette[2]; })}]
      },
      options: {
        indexAxis: 'y',
        scales: {x: {title: title('% of the step')}},
        plugins: {legend: {display: false}, tooltip: {callbacks: {label: function (c) {
          var change = changes[c.dataIndex];
          return [c.raw.toFixed(1) + ' %: a step of ' + seconds(change.step_s), change.note];
        }}}}
      }
    });
  }

  // A sweep: a figure over the values of one axis, a line for each value of another; each further axis stands at a value,
  // or is free: then the fastest point counts. A point: [values of axes ..., GPU-seconds a token, figures ...].
  function drawSweep() {
    var sweep = data.sweep;
    var axes = sweep.axes;
    var controls = document.getElementById('sweep-controls');
    var long = axes.map(function (a, i) { return i; }).sort(function (a, b) {
      return axes[b].values.length - axes[a].values.length || a - b;
    });
    var state = {figure: Math.max(0, sweep.figures.indexOf('tokens_per_s_per_gpu')), x: long[0], lines: long.length > 1 ? long[1] : -1, at: axes.map(function () { return -1; })};
    var chart = null;

    function choose(label, names, value, change) {
      var box = document.createElement('label');
      var list = document.createElement('select');
      box.textContent = label + ' ';
      names.forEach(function (name, i) {
        var option = document.createElement('option');
        option.textContent = name[0];
        option.value = name[1];
        option.selected = name[1] === value;
        list.appendChild(option);
      });
      list.addEventListener('change', function () { change(Number(list.value)); show(); });
      box.appendChild(list);
      controls.appendChild(box);
    }

    function showControls() {
      var named = axes.map(function (a, i) { return [a.path, i]; });
      controls.textContent = '';
      choose('figure', sweep.figures.map(function (f, i) { return [f, i]; }), state.figure, function (v) { state.figure = v; });
      choose('over', named, state.x, function (v) {
        if (state.lines === v) state.lines = state.x;
        state.x = v;
      });
      choose('lines', [['none', -1]].concat(named.filter(function (n) { return n[1] !== state.x; })), state.lines,
             function (v) { state.lines = v; });
      axes.forEach(function (axis, a) {
        if (a === state.x || a === state.lines) return;
        choose(axis.path, [['fastest', -1]].concat(axis.values.map(function (v, i) { return [v, i]; })), state.at[a],
               function (v) { state.at[a] = v; });
      });
    }

    // The fastest point that has these values, for each value of x.
    function line(value) {
      var best = axes[state.x].values.map(function () { return null; });
      sweep.points.forEach(function (point) {
        for (var a = 0; a < axes.length; ++a) {
          var wanted = a === state.x ? -1 : a === state.lines ? value : state.at[a];
          if (wanted >= 0 && point[a] !== wanted) return;
        }
        var x = point[state.x];
        if (best[x] === null || point[axes.length] < best[x][axes.length]) best[x] = point;
      });
      return best.map(function (point) { return point === null ? null : point[axes.length + 1 + state.figure]; });
    }

    function show() {
      showControls();
      var values = state.lines < 0 ? [null] : axes[state.lines].values;
      var datasets = values.map(function (name, i) {
        var colour = palette[i % palette.length];
        return {label: name === null ? sweep.figures[state.figure] : name, data: line(i), borderColor: colour,
                backgroundColor: colour, borderWidth: 2, spanGaps: true};
      });
      if (chart) chart.destroy();
      else drawn += 1;
      var canvas = document.getElementById('chart-sweep');
      canvas.parentNode.style.height = '420px';
      chart = new Chart(canvas, {
        type: 'line',
        data: {labels: axes[state.x].values, datasets: datasets},
        options: {
          interaction: {mode: 'index', intersect: false},
          scales: {x: {title: title(axes[state.x].path)}, y: {beginAtZero: true, title: title(sweep.figures[state.figure])}},
          plugins: {legend: {display: state.lines >= 0, title: title(state.lines < 0 ? '' : axes[state.lines].path)}}
        }
      });
    }
    show();
  }

  if (data.sweep) {
    drawSweep();
  } else {
    drawBreakdown();
    if (data.timeline) drawTimeline();
    if (data.loads) drawLoads();
    drawMemory();
    if (data.what_if.length > 0) drawWhatIf();
  }
  body.setAttribute('data-charts', drawn);
})();
