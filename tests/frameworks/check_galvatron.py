"""Galvatron reads galvatron.json.

    check_galvatron.py GALVATRON
"""
import sys

from galvatron.utils.config_utils import config2strategy, read_json_config

stages, tensor, consecutive, kinds, sequence, embedding_tensor, embedding_sequence = config2strategy(read_json_config(sys.argv[1]))
assert stages == 1 and tensor == [1] * 4 and consecutive == [1] * 4 and kinds == [0] * 4 and sequence == [0] * 4
assert (embedding_tensor, embedding_sequence) == (1, 0)
print("config2strategy gives the plan's degrees for 4 layers")
