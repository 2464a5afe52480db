"""A small MoE network in PyTorch with the names of Hugging Face's Qwen3-MoE: layer 0 is dense, the others route to experts."""
import torch
from torch import nn
from torch.nn import functional

EXPERTS, TOP, HIDDEN, WIDTH, VOCABULARY = 16, 2, 32, 24, 64


class Expert(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.up_proj = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.down_proj = nn.Linear(WIDTH, HIDDEN, bias=False)

    def forward(self, x):
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Routed(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(HIDDEN, EXPERTS, bias=False)
        self.experts = nn.ModuleList(Expert() for _ in range(EXPERTS))

    def route(self, x):
        """Weights and experts of each token: [token][TOP]."""
        weights, chosen = torch.topk(torch.softmax(self.gate(x), dim=-1), TOP, dim=-1)
        return weights / weights.sum(-1, keepdim=True), chosen

    def forward(self, x):
        weights, chosen = self.route(x)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            token, place = torch.where(chosen == number)
            out = out.index_add(0, token, expert(x[token]) * weights[token, place, None])
        return out


class Layer(nn.Module):
    def __init__(self, mlp):
        super().__init__()
        self.input_layernorm = nn.LayerNorm(HIDDEN)
        self.mlp = mlp

    def forward(self, x):
        return x + self.mlp(self.input_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList(Layer(Routed() if i else Expert()) for i in range(layers))

    def forward(self, tokens):
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return x


class TinyMoe(nn.Module):
    def __init__(self, layers=4):
        super().__init__()
        self.model = Decoder(layers)
        self.lm_head = nn.Linear(HIDDEN, VOCABULARY, bias=False)

    def forward(self, tokens):
        return self.lm_head(self.model(tokens))


def train_step(network, optimizer, tokens):
    """Next-token loss of one batch, before the step that it leads to."""
    optimizer.zero_grad()
    loss = functional.cross_entropy(network(tokens[:-1]), tokens[1:])
    loss.backward()
    optimizer.step()
    return loss.item()
