"""A small GPT on the characters of a text, in the manner of nanoGPT.

python train.py --max_iters=100 --out_dir=out
python train.py --max_iters=200 --out_dir=out --init_from=resume
"""

import argparse
import os

import torch
from torch import nn
from torch.nn import functional

TEXT = "".join(f"{a} plus {b} is {a + b}, and {a} times {b} is {a * b}.\n" for a in range(12) for b in range(12))


class GPT(nn.Module):
    def __init__(self, vocabulary, block_size, n_layer, n_head, n_embd, dropout):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, n_embd)
        self.places = nn.Embedding(block_size, n_embd)
        self.blocks = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(n_embd, n_head, 4 * n_embd, dropout, "gelu", batch_first=True, norm_first=True),
            n_layer,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(n_embd, vocabulary)

    def forward(self, x, y):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        hidden = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        logits = self.head(self.blocks(hidden, mask=mask, is_causal=True))
        return functional.cross_entropy(logits.flatten(0, 1), y.flatten())


parser = argparse.ArgumentParser()
parser.add_argument("--out_dir", default="out")
parser.add_argument("--init_from", default="scratch", choices=["scratch", "resume"])
parser.add_argument("--device", default="cpu")
parser.add_argument("--seed", type=int, default=1337)
parser.add_argument("--max_iters", type=int, default=100)
parser.add_argument("--eval_interval", type=int, default=20)
parser.add_argument("--eval_iters", type=int, default=4)
parser.add_argument("--block_size", type=int, default=32)
parser.add_argument("--batch_size", type=int, default=8)
parser.add_argument("--n_layer", type=int, default=1)
parser.add_argument("--n_head", type=int, default=2)
parser.add_argument("--n_embd", type=int, default=32)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--learning_rate", type=float, default=1e-3)
args = parser.parse_args()

torch.manual_seed(args.seed)
os.makedirs(args.out_dir, exist_ok=True)
checkpoint_path = os.path.join(args.out_dir, "ckpt.pt")
letters = sorted(set(TEXT))
data = torch.tensor([letters.index(letter) for letter in TEXT])
parts = {"train": data[: int(0.9 * len(data))], "val": data[int(0.9 * len(data)) :]}
model = GPT(len(letters), args.block_size, args.n_layer, args.n_head, args.n_embd, args.dropout)
optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
iter_num = 0
if args.init_from == "resume":
    print(f"Resuming training from {args.out_dir}")
    checkpoint = torch.load(checkpoint_path)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    iter_num = checkpoint["iter_num"]


def get_batch(split):
    part = parts[split]
    starts = torch.randint(len(part) - args.block_size, (args.batch_size,))
    x = torch.stack([part[i : i + args.block_size] for i in starts])
    y = torch.stack([part[i + 1 : i + 1 + args.block_size] for i in starts])
    return x, y


@torch.no_grad()
def estimate_loss():
    model.eval()
    losses = {s: sum(model(*get_batch(s)).item() for _ in range(args.eval_iters)) / args.eval_iters for s in parts}
    model.train()
    return losses


while True:
    if iter_num % args.eval_interval == 0:
        losses = estimate_loss()
        print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
        if iter_num > 0:
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iter_num": iter_num}
            print(f"saving checkpoint to {args.out_dir}")
            torch.save(saved, checkpoint_path)
    if iter_num == args.max_iters:
        break
    loss = model(*get_batch("train"))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    iter_num += 1
