"""The losses. Shapes (B, T, H, W): B clips of T frames; each clip is one unit of scale (and shift)."""
import torch
import torch.nn.functional as F

E = 0.005  # 1/m: disparity below which distances hardly differ (200 m)


def mean(x, m):
    """Per clip mean of x where m: (B, 1, 1, 1)."""
    return (x * m).sum((1, 2, 3), keepdim=True) / m.sum((1, 2, 3), keepdim=True).clamp(min=1)


def normalise(x, m):
    """Removes a clip's scale and shift: its mean and mean absolute deviation."""
    x = x - mean(x, m)
    return x / mean(x.abs(), m).clamp(min=1e-4)


def edges(r, m, scales=4):
    """Gradient matching: the differences of the residual r along x and y, at several scales."""
    total = 0
    for k in range(scales):
        a, b = r[..., ::1 << k, ::1 << k], m[..., ::1 << k, ::1 << k]
        bx, by = b[..., 1:] * b[..., :-1], b[..., 1:, :] * b[..., :-1, :]
        total = total + ((a[..., 1:] - a[..., :-1]).abs() * bx).mean() + ((a[..., 1:, :] - a[..., :-1, :]).abs() * by).mean()
    return total / scales


def temporal(p, g, m, limit):
    """Temporal gradient matching: the change of p from frame to frame is that of g, where g changes little."""
    if p.shape[1] < 2: return p.sum() * 0
    dp, dg = p[:, 1:] - p[:, :-1], g[:, 1:] - g[:, :-1]
    k = m[:, 1:] * m[:, :-1] * (dg.abs() < limit)
    return ((dp - dg).abs() * k).sum() / k.sum().clamp(min=1)


def relative(p, z, parts):
    """p: predicted disparity; z: metres, 0 for the sky (whose disparity is 0)."""
    g = torch.where(z > 0, 1 / z.clamp(min=0.1), torch.zeros_like(z))
    one = torch.ones_like(g)
    pn, gn = normalise(p, one), normalise(g, one)
    ssi = (pn - gn).abs().mean()
    tgm = temporal(pn, gn, one, 0.05)
    grad = edges(pn - gn, one)
    # scale only, in the logarithm: far things count as much as near ones, and zero means infinity
    m = ((z > 0) & (z < 80)).float()
    s = (mean(g, one) / mean(p, one).clamp(min=1e-4)).detach()
    r = torch.log(s * p + E) - torch.log(g + E)
    log = mean((r - mean(r, m)).abs(), m).mean()
    sky = (s * p * (z == 0)).mean() * 2
    pin = torch.log(mean(p, one).clamp(min=1e-4)).pow(2).mean()
    lt = temporal(torch.log(s * p + E), torch.log(g + E), m, 0.05)
    parts.update(ssi=ssi, tgm=tgm, grad=grad, log=log, lt=lt)
    return ssi + 4 * tgm + 0.5 * grad + 1.5 * log + sky + 0.02 * pin + 4 * lt


def metric(p, z, parts):
    """p: metres in the canonical camera; z: the same, 0 for the sky (pushed beyond 80 m)."""
    m = ((z > 0) & (z < 100)).float()
    lp, lz = torch.log(p + 0.05), torch.log(z.clamp(min=0.1) + 0.05)
    r = (lp - lz) * m
    log = mean(r.abs(), m).mean()
    grad = edges(r, m)
    tgm = temporal(lp, lz, m, 0.05)
    sky = (F.relu(4.4 - lp) * (z == 0)).mean()
    parts.update(mlog=log, mgrad=grad, mtgm=tgm)
    return 1.5 * log + 0.5 * grad + 4 * tgm + 0.2 * sky
