"""What scenes are built from: primitives as rows of floats (layout: render_core.h), materials, furniture, figures.
World axes: x right, y down, z forward, metres; the ground is y = 0, so heights are negative."""
import numpy as np

PLANE, BOX, ROOM, ELLIPSOID, CAPSULE, CYLINDER = range(6)
(PLAIN, CLOUDY, STRIPES, CHECKER, BRICKS, GRADIENT, TILES, TEXT, MARBLE, WINDOWS, DOTS, GRASS, ROAD, POSTER) = range(14)
EYE = np.eye(3)


def turn(yaw, pitch=0.0, roll=0.0):
    """Rotation(s) local -> world: roll about z, then pitch about x, then yaw about y. Arrays broadcast: (..., 3, 3)."""
    yaw, pitch, roll = np.broadcast_arrays(*(np.asarray(v, float) for v in (yaw, pitch, roll)))
    one, o = np.ones_like(yaw), np.zeros_like(yaw)
    def m(*rows):
        return np.stack([np.stack(r, -1) for r in rows], -2)
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    return m((cy, o, sy), (o, one, o), (-sy, o, cy)) @ m((one, o, o), (o, cp, -sp), (o, sp, cp)) @ \
        m((cr, -sr, o), (sr, cr, o), (o, o, one))


def row(kind, mat, p0, p1, r=0.0, rot=EYE, shadow=True):
    q = np.zeros(20, np.float64)
    q[0], q[1], q[2:5], q[5:8], q[8] = kind, mat, p0, p1, r
    q[9:18] = np.asarray(rot).T.reshape(9)  # rows of local = R (world - p0), R = rot^T
    q[19] = 0 if shadow else 1
    return q


def box(mat, c, half, rot=EYE): return row(BOX, mat, c, half, 0, rot)
def ell(mat, c, radii, rot=EYE): return row(ELLIPSOID, mat, c, radii, 0, rot)
def cap(mat, a, b, r): return row(CAPSULE, mat, a, b, r)
def cyl(mat, a, b, r): return row(CYLINDER, mat, a, b, r)


def place(rows, Q, t):
    """Rigid motion of rows (n, 20) by Q (..., 3, 3), t (..., 3): (..., n, 20)."""
    Q, t = np.asarray(Q, float), np.asarray(t, float)
    lead = Q.shape[:-2]
    out = np.broadcast_to(rows, lead + rows.shape).copy()
    out[..., 2:5] = np.einsum("...ij,nj->...ni", Q, rows[:, 2:5]) + t[..., None, :]
    ends = (rows[:, 0] == CAPSULE) | (rows[:, 0] == CYLINDER)
    if ends.any():
        out[..., ends, 5:8] = np.einsum("...ij,nj->...ni", Q, rows[ends, 5:8]) + t[..., None, :]
    R = rows[:, 9:18].reshape(-1, 3, 3)
    out[..., 9:18] = np.einsum("nij,...kj->...nik", R, Q).reshape(lead + (len(rows), 9))
    return out


class Materials:
    """A growing table of materials; each method draws one and returns its index."""

    def __init__(self, g):
        self.g, self.rows = g, []
        self.tint = g.uniform(0.85, 1.15, 3)

    def colour(self, sat=(0.0, 0.45), val=(0.15, 0.8), hue=None):
        g = self.g
        h = g.random() if hue is None else (hue + g.normal(0, 0.03)) % 1
        s, v = g.uniform(*sat), g.uniform(*val) ** 1.6  # linear light
        k = (np.array([5.0, 3.0, 1.0]) + h * 6) % 6
        return np.clip(v * (1 - s * np.clip(np.minimum(k, 4 - k), 0, 1)) * self.tint, 0.01, 0.95)

    def add(self, kind, A, B=None, C=None, u=1.0, v=None, par=0.5, noise=None, shine=0.0, bump=0.0, glow=0.0):
        g = self.g
        m = np.zeros(20)
        A = np.asarray(A, float)
        B = A * g.uniform(0.3, 1.6) if B is None else B
        m[0], m[1:4], m[4:7], m[7:10] = kind, A, np.clip(B, 0, 1), A * g.uniform(0.5, 1.3) if C is None else C
        m[10], m[11] = u, u if v is None else v
        m[12], m[13] = g.uniform(0.05, 0.5) if noise is None else noise, np.exp(g.uniform(np.log(0.5), np.log(20)))
        m[14], m[15], m[16], m[17], m[18], m[19] = g.integers(1, 1 << 20), shine, bump, g.uniform(5, 60), glow, par
        self.rows.append(m)
        return len(self.rows) - 1

    def any(self):
        g = self.g
        kind = int(g.choice([PLAIN, CLOUDY, STRIPES, CHECKER, BRICKS, GRADIENT, TILES, TEXT, MARBLE, DOTS, POSTER],
                            p=[.2, .14, .1, .08, .06, .06, .08, .06, .08, .06, .08]))
        u = np.exp(g.uniform(np.log(1.5), np.log(25)))
        if kind == TEXT:
            return self.add(kind, self.colour((0, .3), (.6, .95)), self.colour((0, .5), (.05, .3)), u=u * 3, v=u, noise=.1)
        return self.add(kind, self.colour((0, .8), (.15, .9)), self.colour((0, .8), (.1, .9)), self.colour(), u=u,
                        v=u * g.uniform(.5, 2), par=g.uniform(.15, .6), shine=g.uniform(0, .4) if g.random() < .3 else 0,
                        bump=g.uniform(0, .5) if g.random() < .2 else 0)

    def floor(self):
        g = self.g
        k = g.integers(5)
        c = self.colour((0.05, .5), (.25, .75), hue=g.choice([.07, .1, .6, g.random()]))
        if k == 0: return self.add(TILES, c, c * .5, c * g.uniform(.6, 1.2), u=g.uniform(1.8, 3), par=.04, shine=g.uniform(0, .4))
        if k == 1: return self.add(BRICKS, c, c * .5, c * .7, u=g.uniform(.7, 1), v=g.uniform(7, 9), par=.015, shine=.2)
        if k == 2: return self.add(CLOUDY, c, c * g.uniform(.5, .9), u=g.uniform(4, 7), noise=.4)
        if k == 3: return self.add(CHECKER, c, self.colour(), u=g.uniform(1.8, 3))
        return self.add(MARBLE, c, c * .7, u=g.uniform(1, 5), par=.8)

    def wall(self):
        g = self.g
        k = g.integers(8)
        c = self.colour((0, .35), (.45, .95))
        if k < 3: return self.add(PLAIN, c, noise=g.uniform(.03, .25))
        if k == 3: return self.add(STRIPES, c, c * g.uniform(.7, .95), u=g.uniform(4, 8), v=0.1)
        if k == 4: return self.add(BRICKS, c * .7, c, c * .5, u=4, v=g.uniform(11, 13), par=.06, bump=.1)
        if k == 5: return self.add(TILES, c, c * .6, u=g.uniform(4, 6), par=.04, shine=.3)
        if k == 6: return self.add(CLOUDY, c, c * .8, u=g.uniform(.4, 4))
        return self.add(GRADIENT, c, c * .7, u=.3)

    def ground(self):
        g = self.g
        k = g.integers(5)
        if k < 2:
            c = self.colour((.25, .7), (.25, .65), hue=g.uniform(.15, .35))
            return self.add(GRASS, c * .6, c * 1.2, u=g.uniform(.7, 1.3), noise=.3, bump=g.uniform(0, .4))
        c = self.colour((0, .4), (.3, .75), hue=.09)
        if k == 2: return self.add(CLOUDY, c, c * .6, u=g.uniform(.5, 1), noise=.5, bump=g.uniform(0, .3))
        if k == 3: return self.add(TILES, c, c * .6, u=g.uniform(1.5, 2.2), par=.03)
        return self.add(BRICKS, c, c * .55, c * .75, u=g.uniform(3.5, 5), v=g.uniform(7, 9), par=.05)

    def road(self, half):
        c = self.colour((0, .1), (.2, .5))
        m = self.add(ROAD, c, [.8, .8, .75], u=1, v=self.g.uniform(.1, .3), par=half, noise=.4)
        return m

    def facade(self):
        g = self.g
        k, c = g.integers(4), self.colour((0, .5), (.3, .9), hue=g.choice([.05, .1, .6, g.random()]))
        glass = self.colour((0, .4), (.05, .45), hue=.6)
        if k < 3:
            return self.add(WINDOWS, c, glass, glass * g.uniform(.4, 3) + .03, u=g.uniform(.36, .5), v=g.uniform(.31, .36),
                            par=g.uniform(.18, .32), noise=.2)
        return self.add(BRICKS, c * .8, c, c * .5, u=g.uniform(3, 4), v=g.uniform(8, 11), par=.05)

    def wood(self):
        c = self.colour((.3, .7), (.2, .7), hue=.08)
        return self.add(MARBLE, c, c * .6, u=self.g.uniform(2, 9), v=.5, par=1, shine=self.g.uniform(0, .2))

    def cloth(self):
        g = self.g
        kind = int(g.choice([PLAIN, PLAIN, STRIPES, CHECKER, DOTS, CLOUDY, POSTER]))
        c = self.colour((0, .85), (.08, .9))
        u = g.uniform(6, 25)
        return self.add(kind, c, self.colour((0, .7), (.1, .9)), u=u * .1 if kind == STRIPES and g.random() < .5 else u, v=u, par=.4)

    def skin(self):
        c = np.array([.75, .5, .38]) * self.g.uniform(.25, 1.0)
        return self.add(PLAIN, c, noise=.1)

    def leaf(self):
        c = self.colour((.3, .8), (.2, .6), hue=self.g.choice([.25, .3, .22, .1]))
        return self.add(CLOUDY, c * .5, c * 1.3, u=self.g.uniform(3, 9), noise=.5, bump=.9)

    def metal(self):
        return self.add(PLAIN, self.colour((0, .2), (.15, .8)), noise=.15, shine=.5)

    def lamp(self):
        return self.add(PLAIN, [1, .95, .85], noise=0, glow=self.g.uniform(1, 4))


def table(g, m):
    w, d, h = g.uniform(.4, 1.1), g.uniform(.3, .6), g.uniform(.4, .95)
    top, leg, r = m.wood() if g.random() < .6 else m.any(), m.metal() if g.random() < .5 else m.wood(), g.uniform(.012, .04)
    rows = [box(top, (0, -h, 0), (w, .02, d))]
    rows += [cap(leg, (sx * (w - .06), -h, sz * (d - .06)), (sx * (w - .06), 0, sz * (d - .06)), r) for sx in (-1, 1) for sz in (-1, 1)]
    for _ in range(g.integers(0, 4)):
        x, z, s = g.uniform(-w + .1, w - .1), g.uniform(-d + .1, d - .1), g.uniform(.04, .16)
        rows.append(box(m.any(), (x, -h - .02 - s, z), (s * g.uniform(.4, 1.5), s, s * .6), turn(g.uniform(0, 6)))
                    if g.random() < .6 else ell(m.any(), (x, -h - .02 - s, z), (s, s, s)))
    return np.array(rows)


def chair(g, m):
    s, h, r = g.uniform(.19, .26), g.uniform(.4, .5), g.uniform(.012, .025)
    seat, leg = m.cloth(), m.metal() if g.random() < .5 else m.wood()
    rows = [box(seat, (0, -h, 0), (s, .03, s)), box(seat, (0, -h - .32, -s), (s, g.uniform(.12, .25), .02))]
    rows += [cap(leg, (sx * s * .9, -h, sz * s * .9), (sx * s, 0, sz * s), r) for sx in (-1, 1) for sz in (-1, 1)]
    rows += [cap(leg, (sx * s * .9, -h, -s), (sx * s * .9, -h - .4, -s), r) for sx in (-1, 1)]
    return np.array(rows)


def shelf(g, m):
    w, h, d = g.uniform(.4, 1.2), g.uniform(.8, 2.1), g.uniform(.13, .3)
    mat, n = m.wood() if g.random() < .6 else m.wall(), g.integers(2, 6)
    rows = [box(mat, (sx * w, -h / 2, 0), (.02, h / 2, d)) for sx in (-1, 1)]
    rows += [box(mat, (0, -h * (i + .5) / n, 0), (w, .015, d)) for i in range(n)]
    rows.append(box(mat, (0, -h / 2, -d), (w, h / 2, .01)))
    for i in range(n):
        for _ in range(g.integers(0, 3)):
            s = g.uniform(.04, h / n * .38)
            rows.append(box(m.any(), (g.uniform(-w + .1, w - .1), -h * (i + .5) / n - s, 0), (g.uniform(.03, .2), s, d * .6)))
    return np.array(rows)


def sofa(g, m):
    w, d, c = g.uniform(.5, 1.1), g.uniform(.35, .5), m.cloth()
    return np.array([box(c, (0, -.21, 0), (w, .21, d)), box(c, (0, -.5, -d), (w, .35, .1)), box(c, (-w, -.32, 0), (.09, .32, d)),
                     box(c, (w, -.32, 0), (.09, .32, d))])


def stand_lamp(g, m):
    h, metal = g.uniform(1.2, 1.9), m.metal()
    return np.array([cyl(metal, (0, -.03, 0), (0, 0, 0), .15), cap(metal, (0, -h, 0), (0, 0, 0), g.uniform(.01, .02)),
                     ell(m.lamp(), (0, -h, 0), (.16, .13, .16))])


def cabinet(g, m):
    w, h, d = g.uniform(.25, .9), g.uniform(.4, 2.1), g.uniform(.2, .4)
    mat = m.any() if g.random() < .4 else m.wood()
    rows = [box(mat, (0, -h / 2, 0), (w, h / 2, d)), box(m.any(), (0, -h / 2, d), (w * .93, h * .46, .012))]
    rows += [ell(m.metal(), (w * .7, -h / 2, d + .02), (.02, .05, .02))]
    return np.array(rows)


def plant(g, m):
    s, leaf = g.uniform(.15, .4), m.leaf()
    rows = [cyl(m.any(), (0, -.35, 0), (0, 0, 0), g.uniform(.1, .2))]
    rows += [ell(leaf, (g.normal(0, s * .5), -.35 - s - g.uniform(0, s), g.normal(0, s * .5)), g.uniform(.3, .8, 3) * s,
                 turn(*g.uniform(-1, 1, 3))) for _ in range(g.integers(3, 7))]
    return np.array(rows)


def tree(g, m):
    h, s, leaf, bark = g.uniform(2.2, 3.4), g.uniform(1.1, 2), m.leaf(), m.add(CLOUDY, m.colour((.2, .5), (.15, .45), .08), u=6, v=2, bump=.6)
    x, z = g.normal(0, .2, 2)
    rows = [cap(bark, (0, .2, 0), (x, -h, z), g.uniform(.07, .25))]
    for _ in range(g.integers(0, 3)):
        a = g.uniform(0, 6.28)
        rows.append(cap(bark, (x * .6, -h * .6, z * .6), (x + s * np.cos(a), -h - .4, z + s * np.sin(a)), g.uniform(.02, .07)))
    if g.random() < .2:  # a conifer
        rows += [ell(leaf, (0, -h * .5 - i * s * .6, 0), (s * (1 - .22 * i), s * .5, s * (1 - .22 * i))) for i in range(4)]
    elif g.random() < .85:
        rows += [ell(leaf, (x + g.normal(0, s * .5), -h - s * g.uniform(0, .8), z + g.normal(0, s * .5)), g.uniform(.5, 1, 3) * s,
                     turn(*g.uniform(-1, 1, 3))) for _ in range(g.integers(3, 7))]
    return np.array(rows)


def car(g, m):
    L, W, h = g.uniform(1.8, 2.5), g.uniform(.8, .95), g.uniform(.35, .45)
    paint = m.add(PLAIN, m.colour((0, .9), (.05, .9)), noise=.04, shine=.7)
    glass, tyre = m.add(PLAIN, [.05, .06, .08], noise=.1, shine=.8), m.add(PLAIN, [.03, .03, .03], noise=.1)
    up = g.uniform(.3, .7)
    rows = [box(paint, (0, -.3 - h, 0), (W, h, L)), box(glass, (0, -.3 - 2 * h - up / 2, -L * .1), (W * .88, up / 2, L * g.uniform(.45, .85))),
            box(paint, (0, -.3 - 2 * h - up, -L * .1), (W * .86, .03, L * .45)), box(m.lamp(), (0, -.3 - h, L), (W * .8, .06, .02))]
    rows += [cyl(tyre, (sx * W * .75, -.32, sz * L * .62), (sx * W * 1.02, -.32, sz * L * .62), .32) for sx in (-1, 1) for sz in (-1, 1)]
    return np.array(rows)


def street_lamp(g, m):
    h, metal, a = g.uniform(3, 7), m.metal(), g.uniform(.3, 1.5)
    return np.array([cap(metal, (0, .1, 0), (0, -h, 0), g.uniform(.03, .08)), cap(metal, (0, -h, 0), (a, -h - .2, 0), .03),
                     ell(m.lamp(), (a, -h - .2, 0), (.25, .08, .12))])


def sign(g, m):
    h = g.uniform(1.8, 2.8)
    return np.array([cap(m.metal(), (0, .1, 0), (0, -h, 0), g.uniform(.02, .04)),
                     box(m.any(), (0, -h, 0), (g.uniform(.2, .5), g.uniform(.2, .4), .015))])


def bench(g, m):
    w, wood, metal = g.uniform(.5, 1.0), m.wood(), m.metal()
    return np.array([box(wood, (0, -.45, 0), (w, .03, .2)), box(wood, (0, -.72, -.22), (w, .14, .02))] +
                    [box(metal, (s * w * .8, -.25, 0), (.03, .25, .18)) for s in (-1, 1)])


def fence(g, m):
    n, gap, h, mat = g.integers(4, 10), g.uniform(.8, 2), g.uniform(.7, 1.6), m.wood() if g.random() < .6 else m.metal()
    r, x0 = g.uniform(.015, .05), -.5 * (n - 1) * gap
    rows = [cap(mat, (x0 + i * gap, .1, 0), (x0 + i * gap, -h, 0), r * 1.4) for i in range(n)]
    rows += [cap(mat, (x0, -h * k, 0), (-x0, -h * k, 0), r) for k in (.45, .85)]
    return np.array(rows)


def rock(g, m):
    c, s = m.add(CLOUDY, m.colour((0, .25), (.2, .7), .08), u=g.uniform(1, 5), noise=.5, bump=.5), np.exp(g.uniform(np.log(.2), np.log(1)))
    return np.array([ell(c, (g.normal(0, s * .5), -s * .1, g.normal(0, s * .5)), g.uniform(.5, 1.2, 3) * s, turn(*g.uniform(-.6, .6, 3)))
                     for _ in range(g.integers(1, 4))])


def thing(g, m, size):
    """A single random solid of about `size` metres standing on y = 0."""
    k, mat, s = g.integers(6), m.any(), size * g.uniform(.6, 1.2)
    if k < 2:
        half = g.uniform(.3, 1, 3) * s
        return np.array([box(mat, (0, -half[1], 0), half)])
    if k == 2: return np.array([ell(mat, (0, -s, 0), (s, s, s))])
    if k == 3: return np.array([cyl(mat, (0, -2 * s * g.uniform(.4, 1.6), 0), (0, 0, 0), s * g.uniform(.3, .9))])
    if k == 4:
        a, b = g.normal(0, s, 3), g.normal(0, s, 3)
        r = s * g.uniform(.1, .4)
        a[1], b[1] = -r - abs(a[1]), -r - abs(b[1]) * 1.5
        return np.array([cap(mat, a, b, r)])
    return np.array([cap(mat, (g.normal(0, s * .3), -s * g.uniform(1.5, 5), g.normal(0, s * .3)), (0, 0, 0), size * g.uniform(.02, .08))])


class Walker:
    """A figure of capsules that walks. path(t) -> position on the ground (T, 3), heading (T,), metres walked (T,)."""

    def __init__(self, g, m, path, child=False):
        self.path, self.height = path, g.uniform(1.0, 1.4) if child else np.clip(g.normal(1.7, .09), 1.5, 1.93)
        k = self.height / 1.7
        self.k, self.phase, self.swing = k, g.uniform(0, 6.28), g.uniform(.35, .6)
        self.stride, self.wide = 1.35 * k, g.uniform(.9, 1.2)
        shirt, trousers, skin, shoe, hair = m.cloth(), m.cloth(), m.skin(), m.any(), m.add(PLAIN, m.colour((.1, .6), (.03, .5), .08))
        self.mats = shirt, (shirt if g.random() < .6 else skin), trousers, skin, shoe, hair
        self.bag = m.any() if g.random() < .35 else None
        self.skirt = g.random() < .2

    def rows(self, t):
        """(T, n, 20) in the world."""
        pos, heading, walked = self.path(t)
        k, w, T = self.k, self.wide, len(t)
        shirt, arm, trousers, skin, shoe, hair = self.mats
        ph = self.phase + 2 * np.pi * walked / self.stride
        out = []
        z0 = np.zeros(T)
        bob = .025 * k * np.cos(2 * ph)
        def P(x, y, z): return np.stack(np.broadcast_arrays(z0 + x, y, z), -1)
        def limb(mat, a, b, r):
            q = np.zeros((T, 20))
            q[:, 0], q[:, 1], q[:, 2:5], q[:, 5:8], q[:, 8], q[:, 9:18] = CAPSULE, mat, a, b, r, EYE.reshape(9)
            out.append(q)
        hip_y, sh_y = -.9 * k + bob, -1.38 * k + bob
        for s in (-1, 1):
            a = self.swing * np.sin(ph) * s
            bend = .15 + .55 * np.clip(np.sin(ph * 1 + (0 if s > 0 else np.pi) + 1.9), 0, 1)
            hip = P(s * .1 * k * w, hip_y, 0)
            knee = hip + .43 * k * P(0, np.cos(a), np.sin(a))
            foot = knee + .41 * k * P(0, np.cos(a - bend), np.sin(a - bend))
            limb(trousers, hip, knee, .085 * k * w)
            limb(trousers if not self.skirt else skin, knee, foot, .06 * k)
            limb(shoe, foot + P(0, .0, 0), foot + P(0, .03 * k, .14 * k), .045 * k)
            b = -.8 * a
            sh = P(s * .2 * k * w, sh_y, 0)
            el = sh + .29 * k * P(s * .12, np.cos(b), np.sin(b))
            ha = el + .27 * k * P(0, np.cos(b + .35), np.sin(b + .35))
            limb(shirt, sh, el, .05 * k * w)
            limb(arm, el, ha, .04 * k)
        limb(shirt, P(-.09 * k * w, sh_y + .06 * k, 0), P(-.05 * k * w, hip_y - .02, 0), .12 * k * w)
        limb(shirt, P(.09 * k * w, sh_y + .06 * k, 0), P(.05 * k * w, hip_y - .02, 0), .12 * k * w)
        if self.skirt: limb(trousers, P(0, hip_y, 0), P(0, hip_y + .3 * k, 0), .19 * k * w)
        limb(skin, P(0, sh_y, 0), P(0, sh_y - .15 * k, .01), .055 * k)
        limb(skin, P(0, sh_y - .19 * k, .02 * k), P(0, sh_y - .24 * k, .02 * k), .095 * k)
        limb(hair, P(0, sh_y - .22 * k, -.02 * k), P(0, sh_y - .25 * k, -.02 * k), .1 * k)
        if self.bag is not None: limb(self.bag, P(0, sh_y + .1 * k, -.2 * k), P(0, sh_y + .35 * k, -.2 * k), .12 * k)
        rows = np.stack(out, 1)
        Q = turn(heading)
        for at in (slice(2, 5), slice(5, 8)):
            rows[..., at] = np.einsum("tij,tnj->tni", Q, rows[..., at]) + pos[:, None]
        return rows


def straight(x, z, heading, speed, bend=0.0):
    """A walk at constant speed (m/s) whose heading turns by `bend` rad/s."""
    bend = bend if abs(bend) > 1e-4 else 1e-4
    def path(t):
        h = heading + bend * t
        p = np.stack([x + speed / bend * (np.cos(heading) - np.cos(h)), 0 * t, z + speed / bend * (np.sin(h) - np.sin(heading))], -1)
        return p, h, speed * t
    return path


def around(cx, cz, ax, az, rate, phase):
    """A walk around an ellipse."""
    def path(t):
        a = phase + rate * t
        p = np.stack([cx + ax * np.cos(a), 0 * t, cz + az * np.sin(a)], -1)
        h = np.arctan2(-ax * np.sin(a) * rate, az * np.cos(a) * rate)
        return p, h, np.abs(rate) * .5 * (ax + az) * t
    return path


def standing(x, z, heading, sway):
    def path(t):
        p = np.stack([x + .03 * np.sin(sway * t), 0 * t, z + .02 * np.cos(sway * 1.3 * t)], -1)
        return p, heading + .4 * np.sin(.5 * sway * t), .12 * np.sin(sway * t)
    return path
