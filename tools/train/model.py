"""The Video Depth Anything network in PyTorch, written from its description, with the published state-dict names.
T frames, C channels, h x w patches. forward() takes (B, T, 3, H, W) normalised pictures, H and W multiples of 14."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

SIZES = {  # width, depth, features, out_channels, position grid; mlp: 4 x width if not said
    "nano": dict(width=192, depth=6, features=64, out_channels=(48, 64, 32, 32), grid=16),
    "deep": dict(width=192, depth=8, features=32, out_channels=(48, 48, 32, 32), grid=10, mlp=704),
    "tiny": dict(width=128, depth=4, features=32, out_channels=(16, 32, 32, 64), grid=9),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Upsample(torch.autograd.Function):
    """Bilinear, align_corners: the forward pass is F.interpolate's; the backward pass is two matrix products, which on
    GPUs is many times faster than the atomic additions of PyTorch's own. Used in training only."""

    @staticmethod
    def matrix(n_in, n_out, x):
        src = torch.arange(n_out, device=x.device, dtype=torch.float32) * ((n_in - 1) / max(n_out - 1, 1))
        at = torch.arange(n_in, device=x.device, dtype=torch.float32)
        return (1 - (src[:, None] - at[None]).abs()).clamp(min=0).to(x.dtype)  # (out, in)

    @staticmethod
    def forward(ctx, x, size):
        ctx.size = x.shape[-2:]
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    @staticmethod
    def backward(ctx, g):
        n, c, H, W = g.shape
        h, w = ctx.size
        g = g.permute(0, 2, 3, 1).contiguous()
        g = torch.bmm(Upsample.matrix(h, H, g).T[None].expand(n, -1, -1), g.view(n, H, W * c))
        g = torch.bmm(Upsample.matrix(w, W, g).T[None].expand(n * h, -1, -1), g.view(n * h, W, c))
        return g.view(n, h, w, c).permute(0, 3, 1, 2), None


def upsample(x, size):
    if x.requires_grad: return Upsample.apply(x, tuple(size))
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def tiny_attention(q, k, v):
    """Attention over T <= 16 frames with heads of 4 to 8 channels, as products and sums: q, k, v (N, T, 8, D). In
    training, where the fused kernels would start a block per pixel and head."""
    s = (q.unsqueeze(2) * k.unsqueeze(1)).sum(-1) * q.shape[-1] ** -0.5
    return (torch.softmax(s, 2).to(v.dtype).unsqueeze(-1) * v.unsqueeze(1)).sum(2)


class Scale(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(c))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c // 64
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))


class Mlp(nn.Module):
    def __init__(self, c, mlp):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(c, mlp), nn.Linear(mlp, c)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, c, mlp):
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(c, eps=1e-6), Attention(c), Scale(c)
        self.norm2, self.mlp, self.ls2 = nn.LayerNorm(c, eps=1e-6), Mlp(c, mlp), Scale(c)

    def forward(self, x):
        x = torch.addcmul(x, self.attn(self.norm1(x)), self.ls1.gamma)
        return torch.addcmul(x, self.mlp(self.norm2(x)), self.ls2.gamma)


class PatchEmbed(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.proj = nn.Conv2d(3, c, 14, 14)


class Encoder(nn.Module):
    def __init__(self, width, depth, grid, mlp=0, **_):
        super().__init__()
        self.grid, self.taps = grid, [(i + 1) * depth // 4 - 1 for i in range(4)]
        self.cls_token, self.mask_token = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.zeros(1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        self.patch_embed = PatchEmbed(width)
        self.blocks = nn.ModuleList(Block(width, mlp or 4 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def positions(self, h, w):
        """(1, 1 + h w, C): the grid resized bicubically with the scale factor (n + 0.1) / grid."""
        if h == w == self.grid: return self.pos_embed
        p = self.pos_embed[:, 1:].float().reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        p = F.interpolate(p, scale_factor=((h + 0.1) / self.grid, (w + 0.1) / self.grid), mode="bicubic")
        assert p.shape[-2:] == (h, w)
        return torch.cat([self.pos_embed[:, :1].float(), p.permute(0, 2, 3, 1).reshape(1, h * w, -1)], 1)

    def forward(self, x):
        """(N, 3, 14 h, 14 w) -> four maps (N, C, h, w)."""
        n, _, H, W = x.shape
        h, w = H // 14, W // 14
        x = x.view(n, 3, h, 14, w, 14).permute(0, 2, 4, 1, 3, 5).reshape(n, h * w, 588)
        x = F.linear(F.pad(x, (0, 4)), F.pad(self.patch_embed.proj.weight.flatten(1), (0, 4)), self.patch_embed.proj.bias)  # 592 is aligned
        x = torch.cat([self.cls_token.to(x.dtype).expand(n, -1, -1), x], 1) + self.positions(h, w).to(x.dtype)
        out = []
        for i, b in enumerate(self.blocks):
            x = b(x)
            if i in self.taps: out.append(self.norm(x)[:, 1:].reshape(n, h, w, -1).permute(0, 3, 1, 2))
        return out


class Position(nn.Module):
    def __init__(self, c):
        super().__init__()
        w = torch.exp(torch.arange(0, c, 2) * (-math.log(10000.0) / c))
        a = torch.arange(32.0)[:, None] * w
        self.register_buffer("pe", torch.stack([torch.sin(a), torch.cos(a)], -1).reshape(1, 32, c))


class TemporalAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(c, c, bias=False) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(c, c)])
        self.pos_encoder = Position(c)

    def forward(self, x, slots):
        """x (B, P, T, C) of B clips and P pixels, slots (B, T): the position in the window that each frame holds."""
        b, p, t, c = x.shape
        x = (x + self.pos_encoder.pe[0, slots].to(x.dtype).unsqueeze(1)).view(b * p, t, c)
        n = b * p
        q, k, v = (f(x).view(n, t, 8, c // 8) for f in (self.to_q, self.to_k, self.to_v))
        if t == 1: return self.to_out[0](v.reshape(b, p, t, c))
        if x.requires_grad and t <= 16: return self.to_out[0](tiny_attention(q, k, v).reshape(b, p, t, c))
        q, k, v = (u.transpose(1, 2) for u in (q, k, v))
        part = 65535 if x.is_cuda else n  # a grid limit of the fused kernels
        o = torch.cat([F.scaled_dot_product_attention(*a) for a in zip(q.split(part), k.split(part), v.split(part))])
        return self.to_out[0](o.transpose(1, 2).reshape(b, p, t, c))


class Geglu(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.proj = nn.Linear(c, 8 * c)

    def forward(self, x):
        a, g = self.proj(x).chunk(2, -1)
        return a * F.gelu(g)


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.net = nn.ModuleList([Geglu(c), nn.Identity(), nn.Linear(4 * c, c)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class TemporalBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(c) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(c) for _ in range(2))
        self.ff, self.ff_norm = FeedForward(c), nn.LayerNorm(c)

    def forward(self, x, slots):
        for a, n in zip(self.attention_blocks, self.norms): x = x + a(n(x), slots)
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c, eps=1e-6)
        self.proj_in, self.proj_out = nn.Linear(c, c), nn.Linear(c, c)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(c)])

    def forward(self, x, t, slots):
        """(B T, C, h, w) -> the same."""
        n, c, h, w = x.shape
        y = self.norm(x).view(n // t, t, c, h * w).permute(0, 3, 1, 2)
        y = self.proj_out(self.transformer_blocks[0](self.proj_in(y), slots))
        return x + y.view(n // t, h * w, t, c).permute(0, 2, 3, 1).reshape(n, c, h, w)


class Motion(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.temporal_transformer = TemporalTransformer(c)

    def forward(self, x, t, slots):
        return self.temporal_transformer(x, t, slots)


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv2(F.relu(self.conv1(F.relu(x)))) + x


class Fusion(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.resConfUnit1, self.resConfUnit2, self.out_conv = Residual(c), Residual(c), nn.Conv2d(c, c, 1)

    def forward(self, x, skip, size):
        if skip is not None: x = x + self.resConfUnit1(skip)
        return self.out_conv(upsample(self.resConfUnit2(x), size))


class Scratch(nn.Module):
    def __init__(self, oc, f):
        super().__init__()
        for i in range(4):
            setattr(self, f"layer{i + 1}_rn", nn.Conv2d(oc[i], f, 3, padding=1, bias=False))
            setattr(self, f"refinenet{i + 1}", Fusion(f))
        self.output_conv1 = nn.Conv2d(f, f // 2, 3, padding=1)
        self.output_conv2 = nn.Sequential(nn.Conv2d(f // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.ReLU(), nn.Identity())


def grow(up, x):
    """A transposed convolution without overlap, as a product: (N, C, h, w) -> (N, C', k h, k w)."""
    n, _, h, w = x.shape
    out, k = up.weight.shape[1], up.kernel_size[0]
    y = x.permute(0, 2, 3, 1) @ up.weight.permute(0, 2, 3, 1).flatten(1)
    y = y.view(n, h, w, k, k, out).permute(0, 1, 3, 2, 4, 5).reshape(n, h * k, w * k, out) + up.bias
    return y.permute(0, 3, 1, 2)


class LastLayer(torch.autograd.Function):
    """x (N, P, C) times w (C), in float32. The gradient of w is a sum over millions of pixels, taken picture by picture."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x.float() @ w.float()

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return (g.unsqueeze(-1) * w.float()).to(x.dtype), torch.bmm(g.unsqueeze(1), x.float()).sum((0, 1)).to(w.dtype)


class Floor(torch.autograd.Function):
    """A ReLU whose gradient leaks where it would lift what lies below zero, and only there: what is wanted at zero (the sky's
    disparity) and is below it already is right, and must not be pushed further down for ever."""

    @staticmethod
    def forward(ctx, x, leak):
        ctx.save_for_backward(x)
        ctx.leak = leak
        return F.relu(x)

    @staticmethod
    def backward(ctx, g):
        return torch.where(ctx.saved_tensors[0] > 0, g, ctx.leak * g.clamp(max=0)), None


def output(conv2, x, leak):
    """output_conv2. leak > 0 (training only): see Floor."""
    x = F.relu(conv2[0](x)).permute(0, 2, 3, 1)
    n, h, w, c = x.shape
    with torch.autocast(x.device.type, enabled=False):
        x = LastLayer.apply(x.reshape(n, h * w, c), conv2[2].weight.flatten()).view(n, h, w) + conv2[2].bias.float()
    return Floor.apply(x, leak) if leak else F.relu(x)


class Head(nn.Module):
    def __init__(self, width, features, out_channels, **_):
        super().__init__()
        oc = out_channels
        self.projects = nn.ModuleList(nn.Conv2d(width, c, 1) for c in oc)
        self.resize_layers = nn.ModuleList([nn.ConvTranspose2d(oc[0], oc[0], 4, 4), nn.ConvTranspose2d(oc[1], oc[1], 2, 2),
                                            nn.Identity(), nn.Conv2d(oc[3], oc[3], 3, 2, 1)])
        self.scratch = Scratch(oc, features)
        self.motion_modules = nn.ModuleList(Motion(c) for c in (oc[2], oc[3], features, features))

    def trunk(self, taps, t, slots, temporal=True):
        s = self.scratch
        m = [(lambda x, k=k: self.motion_modules[k](x, t, slots)) if temporal else (lambda x: x) for k in range(4)]
        l1, l2, l3, l4 = (self.projects[i](taps[i]) for i in range(4))
        l1, l2, l4 = grow(self.resize_layers[0], l1), grow(self.resize_layers[1], l2), self.resize_layers[3](l4)
        l3, l4 = m[0](l3), m[1](l4)
        l1, l2, l3, l4 = s.layer1_rn(l1), s.layer2_rn(l2), s.layer3_rn(l3), s.layer4_rn(l4)
        p4 = m[2](s.refinenet4(l4, None, l3.shape[2:]))
        p3 = m[3](s.refinenet3(p4, l3, l2.shape[2:]))
        p2 = s.refinenet2(p3, l2, l1.shape[2:])
        return s.refinenet1(p2, l1, (2 * l1.shape[2], 2 * l1.shape[3]))


class VideoDepth(nn.Module):
    """metric_head: a second output_conv2 (trained together, exported as a checkpoint of its own)."""

    def __init__(self, size="nano", metric_head=False, temporal=True):
        super().__init__()
        s = SIZES[size]
        self.pretrained, self.head, self.temporal = Encoder(**s), Head(**s), temporal
        if metric_head:
            f = s["features"]
            self.metric = nn.ModuleDict(dict(output_conv2=nn.Sequential(
                nn.Conv2d(f // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.ReLU(), nn.Identity())))
        self.leak = 0.0

    def initialise(self):
        """For training from nothing: small residual branches, temporal modules that begin as nothing."""
        for name, p in self.named_parameters():
            if p.dim() == 2 and "pos" not in name: nn.init.trunc_normal_(p, std=1 / math.sqrt(p.shape[1]))
            elif name.endswith(".bias"): nn.init.zeros_(p)
        e = self.pretrained
        nn.init.trunc_normal_(e.patch_embed.proj.weight, std=1 / math.sqrt(588))
        nn.init.trunc_normal_(e.pos_embed, std=0.2)
        nn.init.trunc_normal_(e.cls_token, std=0.02)
        for b in e.blocks:
            for p in (b.attn.proj.weight, b.mlp.fc2.weight): p.data *= 0.4
        # the head has no normalisation: kernels that neither shrink nor stretch what passes through them
        after_relu = lambda n: any(k in n for k in ("resConfUnit", "output_conv2.2"))
        for name, p in self.named_parameters():
            if p.dim() == 4 and not name.startswith("pretrained."):
                fan = p.shape[0] if "resize_layers.0" in name or "resize_layers.1" in name else p[0].numel()
                nn.init.trunc_normal_(p, std=math.sqrt((2 if after_relu(name) else 1) / fan))
        for m in self.head.modules():
            if isinstance(m, Residual): m.conv2.weight.data *= 0.3
        for m in self.head.motion_modules: nn.init.zeros_(m.temporal_transformer.proj_out.weight)
        for c in (self.head.scratch.output_conv2, *([self.metric["output_conv2"]] if hasattr(self, "metric") else [])):
            c[2].weight.data *= 0.2
            nn.init.constant_(c[2].bias, 0.5)
        return self

    def forward(self, x, slots=None, which=("relative",), temporal=None, small=False):
        """(B, T, 3, H, W), slots (B, T) -> a list of (B, T, H, W), one of `which` each. small (training only): the output
        layers work at 8/14 of the size, before the last enlargement."""
        b, t, _, H, W = x.shape
        slots = torch.arange(t, device=x.device).expand(b, t) if slots is None else slots
        f = self.head.trunk(self.pretrained(x.reshape(b * t, 3, H, W)), t, slots, self.temporal if temporal is None else temporal)
        s = self.head.scratch
        f = s.output_conv1(f)
        if small: H, W = f.shape[2:]
        else: f = upsample(f, (H, W))
        heads = dict(relative=s.output_conv2)
        if hasattr(self, "metric"): heads["metric"] = self.metric["output_conv2"]
        return [output(heads[k], f, self.leak).view(b, t, H, W) for k in which]
