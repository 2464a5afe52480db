"""SGLang makes its expert locations from expert-location.json, for a plan with replicas; the server around it is a stand-in.

    check_sglang.py EXPERT_LOCATION EP EXPERTS
"""
import json
import sys
import types


class Architecture:
    """What a model class of SGLang says of itself."""

    @staticmethod
    def get_model_config_for_expert_location(_):
        from sglang.srt.eplb.expert_location import ModelConfigForExpertLocation
        return ModelConfigForExpertLocation(num_layers=LAYERS, num_logical_experts=EXPERTS)


path, EP, EXPERTS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, encoding="utf-8") as file:
    rows = json.load(file)["physical_to_logical_map"]
LAYERS = len(rows)
# Loading models and planning asks for a GPU and a hundred packages; reading a map needs neither.
sys.modules["sglang.srt.model_loader"] = types.SimpleNamespace(get_model_architecture=lambda _: (Architecture, "Architecture"))
sys.modules["sglang.srt.eplb"] = package = types.ModuleType("sglang.srt.eplb")
package.__path__ = [next(p for p in (base + "/sglang/srt/eplb" for base in sys.path) if __import__("os").path.isdir(p))]
package.eplb_algorithms = sys.modules["sglang.srt.eplb.eplb_algorithms"] = types.ModuleType("sglang.srt.eplb.eplb_algorithms")
for name in ("sglang", "sglang.srt"):
    stand_in = sys.modules[name] = types.ModuleType(name)
    stand_in.__path__ = []

from sglang.srt.eplb.expert_location import compute_initial_expert_location_metadata  # noqa: E402


def location(text):
    server = types.SimpleNamespace(init_expert_location=text, ep_size=EP, ep_num_redundant_experts=len(rows[0]) - EXPERTS, device="cpu",
                                   ep_dispatch_algorithm="dynamic", nnodes=1)
    return compute_initial_expert_location_metadata(server, types.SimpleNamespace(hf_config=None), 0)


found = location(path)
assert found.physical_to_logical_map.tolist() == rows
for layer, row in enumerate(rows):
    for expert in range(EXPERTS):
        slots = [slot for slot, other in enumerate(row) if other == expert]
        assert set(found.logical_to_all_physical(layer, expert)) <= set(slots) and found.logical_to_all_physical(layer, expert), (layer, expert)
# A further key is an argument that its function does not have.
try:
    location(json.dumps({"physical_to_logical_map": rows, "ranks": EP}))
except TypeError:
    print("compute_initial_expert_location_metadata takes %d layers of %d slots; a further key stops it" % (LAYERS, len(rows[0])))
else:
    sys.exit("a further key was taken")
