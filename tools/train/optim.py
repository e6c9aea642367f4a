"""Parameters, gradients and their optimiser as few flat tensors, so that a step is few kernels and can be recorded in a
CUDA graph: float32 masters, a working copy (bfloat16 on a GPU) that the network computes with, and the moving average."""
import torch


def zeropower(g):
    """The nearest orthogonal matrices, about: five Newton-Schulz steps (Muon's coefficients). g (N, rows, columns)."""
    x = g.bfloat16() if g.is_cuda else g.clone()
    flip = x.shape[1] > x.shape[2]
    if flip: x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if flip else x).float()


def layout(p, flat):
    """The view of a flat piece as a parameter's shape; convolution kernels lie channels-last."""
    if p.dim() == 4:
        o, i, h, w = p.shape
        return flat.view(o, h, w, i).permute(0, 3, 1, 2)
    return flat.view(p.shape)


ALIGN = 64  # every parameter begins at a multiple of it: products of unaligned matrices are ten times slower


class Optimiser:
    """Muon for the matrices (and 3x3 kernels as matrices), Adam for the rest. A Muon step is scaled to the size of an
    Adam step, so that one learning rate serves both; the head, which has no normalisation, takes `head` of it. decay: of
    Muon's matrices; those that Adam steps get a sixth. net's parameters become views of this object's working copy."""

    def __init__(self, net, lr, head, decay, clip, frozen=lambda name: False):
        self.lr, self.decay, self.clip, self.net = lr, decay, clip, net
        dev = next(net.parameters()).device
        named = [(n, p) for n, p in net.named_parameters()]
        is_muon = lambda n, p: p.dim() >= 2 and min(p.shape[0], p[0].numel()) >= 16 and not any(
            k in n for k in ("pos_embed", "token", "patch_embed", "output_conv2.2", "resize_layers.0", "resize_layers.1"))
        slow = lambda n: ("head." in n or "metric." in n) and "motion" not in n
        rate = lambda n: 0.0 if frozen(n) else head / 4 if "output_conv2.2" in n else head if slow(n) else 1.0
        rest = [(n, p) for n, p in named if not is_muon(n, p)]
        groups = {}
        for n, p in named:
            if is_muon(n, p): groups.setdefault((p.shape[0], p[0].numel()), []).append((n, p))
        self.names, at = {}, 0  # name -> (parameter, first, count)
        for n, p in rest + [x for g in groups.values() for x in g]:
            self.names[n] = (p, at, p.numel())
            at += -(-p.numel() // ALIGN) * ALIGN
            if n == rest[-1][0]: self.n_adam = at
        n_adam = self.n_adam
        self.master = torch.zeros(at, device=dev)
        self.work = torch.zeros(at, device=dev, dtype=torch.bfloat16 if dev.type == "cuda" else torch.float32)
        self.work_grad = torch.zeros_like(self.work)
        self.grad = torch.zeros(at + 1, device=dev)  # the last one carries a number that the devices agree on
        self.m, self.v, self.buf = torch.zeros(n_adam, device=dev), torch.zeros(n_adam, device=dev), torch.zeros(at - n_adam, device=dev)
        self.t, self.k, self.blend = (torch.zeros((), device=dev) for _ in range(3))
        self.norm = torch.zeros((), device=dev)
        self.rate = torch.zeros(n_adam, device=dev)
        for n, p in rest: self.rate[self.names[n][1]:self.names[n][1] + p.numel()] = rate(n)
        self.shrink = torch.zeros(n_adam, device=dev)
        for n, p in rest:
            first = self.names[n][1]
            if p.dim() >= 2 and "pos_embed" not in n and "token" not in n: self.shrink[first:first + p.numel()] = rate(n) * decay / 6
        self.muon = []  # first, count, shape and step size of each matrix
        at = n_adam
        for (r, c), g in groups.items():
            assert r * c % ALIGN == 0  # the matrices of a group lie close together
            size = torch.tensor([rate(n) for n, _ in g], device=dev).view(-1, 1, 1) * 0.2 * max(r, c) ** 0.5
            self.muon.append((at, len(g) * r * c, (len(g), r, c), size))
            at += len(g) * r * c
        for n, (p, first, count) in self.names.items():
            layout(p, self.master[first:first + count]).copy_(p.data)
            p.data = layout(p, self.work[first:first + count])
            p.grad = layout(p, self.work_grad[first:first + count])
        self.work.copy_(self.master)
        self.ema = self.master.clone()

    @torch.no_grad()
    def step(self):
        """From self.grad; self.k is the schedule's factor of the learning rate, self.blend how far the average moves."""
        g = self.grad[:-1]
        torch.nan_to_num_(g, 0.0, 0.0, 0.0)
        self.norm.copy_(g.norm())
        g = g * (self.clip / (self.norm + 1e-6)).clamp(max=1)
        a = g[:self.n_adam]
        self.t += 1
        self.m.lerp_(a, 0.1)
        self.v.lerp_(a * a, 0.01)
        upd = (self.m / (1 - 0.9 ** self.t)) / ((self.v / (1 - 0.99 ** self.t)).sqrt() + 1e-8)
        self.master[:self.n_adam] -= (upd * self.rate + self.master[:self.n_adam] * self.shrink) * (self.k * self.lr)
        self.buf.mul_(0.95).add_(g[self.n_adam:])
        nest = g[self.n_adam:] + 0.95 * self.buf
        for first, count, shape, size in self.muon:
            o = zeropower(nest[first - self.n_adam:first - self.n_adam + count].view(shape))
            w = self.master[first:first + count].view(shape)
            w.mul_(1 - (size > 0) * (self.k * self.lr * self.decay)).sub_(o * (size * (self.k * self.lr)))
        self.work.copy_(self.master)
        self.ema.lerp_(self.master, self.blend)

    def load(self, state):
        """Weights by name into the masters, the working copy and the average."""
        for n, (p, first, count) in self.names.items(): layout(p, self.master[first:first + count]).copy_(state[n])
        self.work.copy_(self.master)
        self.ema.copy_(self.master)

    def state(self, flat):
        """The weights of self.master or self.ema by name, with the network's buffers."""
        out = {n: layout(p, flat[first:first + count]).detach().float().cpu().contiguous() for n, (p, first, count) in self.names.items()}
        out.update({n: b.detach().float().cpu().contiguous() for n, b in self.net.named_buffers()})
        return out
