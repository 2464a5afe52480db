"""EPLB's tensors read by NumPy: phy2log, log2phy and logcnt say the same.

    check_eplb.py FOLDER EXPERTS SLOTS
"""
import json
import os
import sys

import numpy

folder, experts, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
phy2log, log2phy, logcnt = (numpy.load(os.path.join(folder, name + ".npy"), allow_pickle=False) for name in ("phy2log", "log2phy", "logcnt"))
assert phy2log.dtype == numpy.int64 and phy2log.shape[1] == slots and logcnt.shape == (len(phy2log), experts)
for layer, row in enumerate(phy2log):
    assert (numpy.bincount(row, minlength=experts) == logcnt[layer]).all()
    for expert in range(experts):
        at = log2phy[layer, expert]
        assert (row[at[:logcnt[layer, expert]]] == expert).all() and (at[logcnt[layer, expert]:] == -1).all()
with open(os.path.join(folder, "eplb.json"), encoding="utf-8") as file:
    text = json.load(file)
assert any(numpy.array_equal(numpy.array(value), phy2log) for value in text.values() if isinstance(value, list)), "eplb.json holds other slots"
print("%d layers of %d slots" % phy2log.shape)
