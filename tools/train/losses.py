"""The losses. Shapes (B, T, H, W): B clips of T frames; each clip is one unit of scale (and shift)."""
import math

import torch
import torch.nn.functional as F

E = 0.005  # 1/m: disparity below which distances hardly differ (200 m)
LOW = 0.3  # ratio of fitted to true disparity below which the logarithm is bent, so that it has a value below zero too


def mean(x, m):
    """Per clip mean of x where m: (B, 1, 1, 1)."""
    return (x * m).sum((1, 2, 3), keepdim=True) / m.sum((1, 2, 3), keepdim=True).clamp(min=1)


def normalise(x, m):
    """Removes a clip's scale and shift: its mean and mean absolute deviation."""
    x = x - mean(x, m)
    return x / mean(x.abs(), m).clamp(min=1e-4)


def fitted(p, g, m):
    """s p + t, the least-squares fit of p to g over a clip: what the evaluation does."""
    pm, gm = mean(p, m), mean(g, m)
    s = mean((p - pm) * (g - gm), m) / (mean((p - pm) ** 2, m) + 1e-5)
    return gm + s.clamp(0.05, 20) * (p - pm)


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
    dp, dg = p[:, 1:] - p[:, :-1], g[:, 1:] - g[:, :-1]
    k = m[:, 1:] * m[:, :-1] * (dg.abs() < limit)
    return ((dp - dg).abs() * k).sum() / k.sum().clamp(min=1)


def relative(p, z, far, parts, steady=4.0):
    """p: predicted disparity; z: metres in the canonical camera, 0 for the sky (whose disparity is 0); far (B, 1, 1, 1):
    how far away things count; steady: weight of the temporal losses."""
    g = torch.where(z > 0, 1 / z.clamp(min=0.1), 0)
    m = ((z > 0) & (z < far)).float()
    one = torch.ones_like(g)
    pn, gn = normalise(p, one), normalise(g, one)
    ssi = (pn - gn).abs().mean()
    grad = edges(pn - gn, one)
    # after the fit, in the logarithm: what AbsRel and delta1 ask for
    r = fitted(p, g, m) / g.clamp(min=1e-3)
    bent = torch.log1p((LOW - r).clamp(min=0) / LOW) - math.log(LOW)
    fit = mean(torch.where(r > LOW, torch.log(r.clamp(min=LOW)).abs(), bent), m).mean()
    # and with the scale as it is, so that it stays the same from window to window
    lp, lg = torch.log(p + E), torch.log(g + E)
    log = mean((lp - lg).abs(), m).mean()
    sky = (p * (z == 0)).mean() / g.mean().clamp(min=1e-3)
    total = 0.5 * ssi + 0.5 * grad + 1.5 * fit + 0.5 * log + sky
    parts.update(ssi=ssi, grad=grad, fit=fit, log=log)
    if p.shape[1] > 1:
        tgm, lt = temporal(pn, gn, one, 0.05), temporal(lp, lg, m, 0.05)
        parts.update(tgm=tgm, lt=lt)
        total = total + steady * (tgm + lt)
    return total


def metric(p, z, parts, steady=4.0):
    """p: metres in the canonical camera; z: the same, 0 for the sky (pushed beyond 80 m)."""
    m = ((z > 0) & (z < 100)).float()
    lp, lz = torch.log(p + 0.05), torch.log(z.clamp(min=0.1) + 0.05)
    r = (lp - lz) * m
    log = mean(r.abs(), m).mean()
    grad = edges(r, m)
    sky = (F.relu(4.4 - lp) * (z == 0)).mean()
    parts.update(mlog=log, mgrad=grad)
    total = 1.5 * log + 0.5 * grad + 0.2 * sky
    if p.shape[1] > 1: total = total + steady * temporal(lp, lz, m, 0.05)
    return total
