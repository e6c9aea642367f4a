"""Clips by seed: Clip(seed, kind) is a scene, its figures and its camera; evaluate(t) gives what the renderer draws at
the times t (seconds). Six kinds: room, street, field, corridor, crowd, clutter. Test seeds are >= TEST_SEEDS."""
import numpy as np

from parts import *
from parts import EYE

KINDS = ("room", "street", "field", "corridor", "crowd", "clutter")
TEST_SEEDS = 10_000_000
FPS = 30.0
VIEW = 52


def distance(rows, p):
    """Distance from points p (T, 3) to primitives (T or 1, n, 20), below zero inside: (T, n)."""
    d = np.full((len(p), rows.shape[1]), 1e9)
    kind = rows[0, :, 0]
    for n in range(rows.shape[1]):
        q = rows[:, n]
        rel = p - q[:, 2:5]
        if kind[n] in (BOX, ELLIPSOID):
            l = np.einsum("tij,tj->ti", np.broadcast_to(q[:, 9:18].reshape(-1, 3, 3), (len(p), 3, 3)), rel)
            if kind[n] == BOX:
                a = np.abs(l) - q[:, 5:8]
                d[:, n] = np.linalg.norm(np.maximum(a, 0), axis=1) + np.minimum(a.max(1), 0)
            else:
                d[:, n] = (np.linalg.norm(l / q[:, 5:8], axis=1) - 1) * q[:, 5:8].min(1)
        elif kind[n] in (CAPSULE, CYLINDER):
            ba = q[:, 5:8] - q[:, 2:5]
            h = np.clip((rel * ba).sum(1) / np.maximum((ba * ba).sum(1), 1e-9), 0, 1)
            d[:, n] = np.linalg.norm(rel - ba * h[:, None], axis=1) - q[:, 8]
    return d


class Clip:
    def __init__(self, seed, kind=None, duration=3.2, fov=None):
        self.seed, self.duration = seed, duration
        g = self.g = np.random.default_rng([int(seed), 1])
        self.kind = kind or KINDS[int(seed) % len(KINDS)]
        self.m = Materials(g)
        self.static, self.moving, self.walkers = [], [], []  # rows / functions t -> (T, n, 20) / Walker
        self.keep = set()
        self.outdoor, self.lamp = True, None
        self.fov = np.radians(fov if fov else g.uniform(48, 82) if g.random() < .75 else g.uniform(40, 100))
        self.shaky = g.random() < .45
        getattr(self, "make_" + self.kind)()
        self.clear_path()
        self.light()
        self.mats = np.array(self.m.rows)
        self.shake = [(g.uniform(.6, 7), g.uniform(0, 6.28), g.normal(0, 1)) for _ in range(24)]

    # ---- building ------------------------------------------------------------------------------------------------
    def put(self, rows, x=0.0, z=0.0, yaw=0.0, y=0.0, keep=False):
        rows = place(np.asarray(rows), turn(yaw), np.array([x, y, z]))
        self.static.append(rows)
        if keep: self.keep.add(len(self.static) - 1)

    def move(self, rows, path, lift=None, spin=0.0):
        """A rigid mover: path as a walker's; lift(t) height above the ground; spin rad/s about y."""
        rows = np.asarray(rows)
        def at(t):
            p, h, _ = path(t)
            if lift is not None: p = p + np.stack([0 * t, -lift(t), 0 * t], -1)
            return place(rows, turn(h + spin * t), p)
        self.moving.append(at)

    def people(self, n, spot, speed=(.5, 1.6), still=.2):
        """n figures; spot() -> x, z, heading, bend of each."""
        g = self.g
        for _ in range(n):
            x, z, h, bend = spot()
            path = standing(x, z, h, g.uniform(.5, 3)) if g.random() < still else straight(x, z, h, g.uniform(*speed), bend)
            self.walkers.append(Walker(g, self.m, path, child=g.random() < .12))

    def look(self, start, velocity, height, yaw, yaw_rate=0.0, sway=.15, pitch=0.0, roam=.3):
        """The camera: start (x, z), velocity (vx, vz) m/s, height m, looking to `yaw`."""
        g = self.g
        self.cam = dict(start=np.array(start, float), v=np.array(velocity, float), h=height, yaw=yaw, rate=yaw_rate, sway=sway,
                        pitch=pitch, roam=roam, ph=g.uniform(0, 6.28, 8), w=g.uniform(.5, 1.6, 8), roll=g.normal(0, .03),
                        bob=g.uniform(.01, .04) if g.random() < .6 else 0.0, step=g.uniform(1.6, 2.1))

    def eye(self):
        """The height of a camera that a person holds."""
        return float(np.clip(self.g.normal(1.6, .06), 1.45, 1.75))

    def camera(self, t, shake=True):
        """Positions (T, 3) and rotations world_from_camera (T, 3, 3)."""
        c, t = self.cam, np.asarray(t, float)
        ph, w = c["ph"], c["w"]
        x = c["start"][0] + c["v"][0] * t + c["roam"] * (np.sin(w[0] * t + ph[0]) - np.sin(ph[0]))
        z = c["start"][1] + c["v"][1] * t + c["roam"] * (np.sin(w[1] * t + ph[1]) - np.sin(ph[1]))
        y = -c["h"] - .05 * np.sin(w[2] * t + ph[2]) - c["bob"] * np.abs(np.sin(np.pi * c["step"] * t + ph[7]))
        yaw = c["yaw"] + c["rate"] * t + c["sway"] * np.sin(w[3] * t + ph[3])
        pitch = c["pitch"] + .04 * np.sin(w[4] * t + ph[4])
        roll = c["roll"] + .015 * np.sin(w[5] * t + ph[5])
        if shake:
            a = (.012, .008) if self.shaky else (.0012, .001)
            s = [sum(k * np.sin(2 * np.pi * f * t + p) for f, p, k in self.shake[i * 4:i * 4 + 4]) * .5 for i in range(6)]
            yaw, pitch, roll = yaw + a[0] * s[0], pitch + a[0] * s[1], roll + a[0] * .7 * s[2]
            x, y, z = x + a[1] * s[3], y + a[1] * s[4], z + a[1] * s[5]
        return np.stack([x, y, z], -1), turn(yaw, pitch, roll)

    def clear_path(self):
        """Drops what the camera would run into, and figures that would hide the whole view."""
        t = np.linspace(0, self.duration, 16)
        p, _ = self.camera(t, shake=False)
        near = lambda rows: distance(rows, p).min()
        a, b, c = dict(room=(.5, .6, .8), corridor=(.5, .6, .9), clutter=(.4, .4, .6)).get(self.kind, (1.1, 1.5, 1.1))
        self.static = [r for i, r in enumerate(self.static) if i in self.keep or near(r[None]) > a]
        self.moving = [f for f in self.moving if near(f(t)) > b]
        self.walkers = [w for w in self.walkers if near(w.rows(t)) > c]

    def light(self):
        g = self.g
        v = self.view = np.zeros(VIEW)
        if self.outdoor:
            mood = g.choice(["sun", "sun", "grey", "dusk", "night"], p=[.35, .25, .25, .1, .05])
            el, az = np.radians(g.uniform(18, 70) if mood != "dusk" else g.uniform(6, 20)), g.uniform(0, 6.28)
            v[16:19] = np.cos(el) * np.sin(az), -np.sin(el), np.cos(el) * np.cos(az)
            power = dict(sun=g.uniform(.7, 1.3), grey=g.uniform(0, .15), dusk=.6, night=.03)[mood]
            v[19:22] = power * np.array([1, .93, .82] if mood != "dusk" else [1, .6, .35])
            amb = dict(sun=g.uniform(.3, .5), grey=g.uniform(.6, .95), dusk=.3, night=.16)[mood]
            v[22:25] = amb * np.array([.85, .95, 1.1])
            v[25:28] = amb * g.uniform(.3, .7) * np.array([1, .95, .85])
            zen = dict(sun=[.15, .35, .75], grey=[.6, .62, .66], dusk=[.25, .25, .45], night=[.01, .012, .03])[mood]
            hor = dict(sun=[.6, .72, .85], grey=[.75, .76, .78], dusk=[.95, .55, .3], night=[.05, .05, .07])[mood]
            v[38:41], v[41:44] = np.array(zen) * g.uniform(.7, 1.2), np.array(hor) * g.uniform(.8, 1.1)
            v[44], v[45], v[46] = g.uniform(0, 1) if mood in ("sun", "dusk") else 0, g.uniform(.5, 3), g.integers(1, 9999)
            v[47] = 1
            if g.random() < .4: v[31] = np.exp(g.uniform(np.log(.002), np.log(.03)))
            v[28:31] = v[41:44] * g.uniform(.8, 1)
            if mood == "night":
                v[32:35], v[35:38], v[47] = [g.normal(0, 4), -5, g.uniform(3, 12)], g.uniform(6, 16) * np.array([1, .85, .6]), 2
        else:
            amb = g.uniform(.22, .6)
            v[22:25], v[25:28] = amb * g.uniform(.9, 1.1, 3), amb * g.uniform(.5, .9) * g.uniform(.9, 1.1, 3)
            v[32:35] = self.lamp
            v[35:38] = g.uniform(.5, 1.3) * (.6 + self.reach ** 2 * .3) * np.array([1, g.uniform(.85, 1), g.uniform(.65, 1)])
            v[47] = 2
            if g.random() < .35:  # daylight through the windows, as a fill without shadows
                a = g.uniform(0, 6.28)
                v[16:19], v[19:22] = np.array([np.sin(a), -.5, np.cos(a)]) / 1.118, g.uniform(.1, .4) * np.array([.9, .95, 1.1])
            if g.random() < .12: v[31] = g.uniform(.005, .05)
            v[28:31] = amb
        self.flicker = g.uniform(0, .12), g.uniform(.5, 8), g.uniform(0, 6.28), (g.uniform(.6, 1.3) if g.random() < .15 else 1.0)

    # ---- evaluation ----------------------------------------------------------------------------------------------
    def evaluate(self, t):
        """t (N,) seconds -> prims (N, P, 20), groups (N, G, 6), views (N, 52) without intrinsics."""
        t = np.asarray(t, float)
        N = len(t)
        parts = [np.broadcast_to(r, (N,) + r.shape) for r in self.static] + [f(t) for f in self.moving]
        for i, w in enumerate(self.walkers):
            r = w.rows(t)
            r[..., 18] = i + 1
            parts.append(r)
        first = np.cumsum([0] + [p.shape[1] for p in parts])
        prims = np.concatenate(parts, 1)
        kind = prims[0, :, 0]
        ends = (kind == CAPSULE) | (kind == CYLINDER)
        mid = np.where(ends[None, :, None], .5 * (prims[..., 2:5] + prims[..., 5:8]), prims[..., 2:5])
        rad = np.where(ends[None], .5 * np.linalg.norm(prims[..., 5:8] - prims[..., 2:5], axis=-1) + 1.42 * prims[..., 8],
                       np.where(kind[None] == ELLIPSOID, prims[..., 5:8].max(-1), np.linalg.norm(prims[..., 5:8], axis=-1)))
        lo = np.minimum.reduceat(mid - rad[..., None], first[:-1], axis=1)
        hi = np.maximum.reduceat(mid + rad[..., None], first[:-1], axis=1)
        centre = .5 * (lo + hi)
        owner = np.repeat(np.arange(len(parts)), np.diff(first))
        R = np.maximum.reduceat(np.linalg.norm(mid - centre[:, owner], axis=-1) + rad, first[:-1], axis=1)
        free = np.isin(kind[first[:-1]], (PLANE, ROOM))
        groups = np.zeros((N, len(parts), 6))
        groups[..., :3], groups[..., 3] = centre, np.where(free[None], -1, R * 1.001)
        groups[..., 4], groups[..., 5] = first[:-1], np.diff(first)
        return prims, groups, self.views(t, len(parts))

    def views(self, t, n_groups, yaw=0.0, pitch=0.0):
        """Views (N, 52) without intrinsics at the times t; yaw and pitch (N,) turn the camera further."""
        N = len(t)
        views = np.tile(self.view, (N, 1))
        pos, rot = self.camera(t)
        rot = turn(yaw) @ rot @ turn(0, pitch)
        views[:, :3], views[:, 3:12], views[:, 50] = pos, rot.reshape(N, 9), n_groups
        a, f, p, jump = self.flicker
        s = (1 + a * np.sin(f * t + p)) * np.where(t > self.duration * .5, jump, 1.0)
        for k in (slice(19, 28), slice(35, 38)): views[:, k] *= s[:, None]
        if self.lamp is not None and getattr(self, "lamp_follows", False):
            views[:, 32:35] += pos * [1, 0, 1]
        return views

    # ---- the kinds -----------------------------------------------------------------------------------------------
    def hall(self, w, h, d):
        """The inside of a box: floor and ceiling get their own slabs. Centre (0, 0)."""
        g, m = self.g, self.m
        self.outdoor = False
        self.put([row(ROOM, m.wall(), (0, -h / 2, 0), (w / 2, h / 2 + .1, d / 2), shadow=True)], keep=True)
        self.put([box(m.floor(), (0, .05, 0), (w / 2 + 1, .05, d / 2 + 1))], keep=True)
        self.put([box(m.add(PLAIN, m.colour((0, .1), (.7, .95)), noise=.08) if g.random() < .7 else m.wall(),
                      (0, -h - .05, 0), (w / 2 + 1, .05, d / 2 + 1))], keep=True)
        if g.random() < .5: self.put([box(m.wall(), (0, -h / 2, d / 2), (w / 2, h / 2, .02))], keep=True)
        self.lamp, self.reach = (g.uniform(-.2, .2) * w, -h + .25, g.uniform(-.2, .2) * d), min(max(w, d), 12) * .5
        for _ in range(g.integers(1, 4)):
            self.put([box(m.lamp(), (g.uniform(-.4, .4) * w, -h, g.uniform(-.4, .4) * d), (g.uniform(.1, .6), .03, g.uniform(.1, .3)))], keep=True)

    def on_walls(self, w, h, d, n):
        """Pictures, windows, doors, radiators, pipes on the walls of a hall."""
        g, m = self.g, self.m
        for _ in range(n):
            side = g.integers(4)
            along = g.uniform(-.42, .42) * (d if side < 2 else w)
            k = g.integers(4)
            if k == 0: size, y, mat, th = (g.uniform(.15, .7), g.uniform(.15, .5)), -1.5, m.any(), .02
            elif k == 1: size, y, mat, th = (g.uniform(.4, .9), g.uniform(.4, .7)), -1.5, m.add(
                GRADIENT, [.6, .75, .95], [.9, .95, 1], u=.5, glow=g.uniform(.3, 1.5), noise=.3), .03
            elif k == 2: size, y, mat, th = (.45, 1.02), -1.02, m.wood() if g.random() < .5 else m.any(), .04
            else: size, y, mat, th = (g.uniform(.3, .7), g.uniform(.2, .4)), -.45, m.metal(), .07
            y = max(y, -h + size[1])
            c = [(-w / 2, y, along), (w / 2, y, along), (along, y, -d / 2), (along, y, d / 2)][side]
            half = (th, size[1], size[0]) if side < 2 else (size[0], size[1], th)
            frame = [1.0 if v == th else 1.08 for v in half]
            self.put([box(mat, c, np.array(half) + [.01 if v == th else 0 for v in half]), box(m.wood(), c, np.array(half) * frame)], keep=True)

    def make_room(self):
        g, m = self.g, self.m
        w, h, d = g.uniform(3.2, 8), g.uniform(2.4, 2.8), g.uniform(3.5, 10)
        self.hall(w, h, d)
        self.on_walls(w, h, d, g.integers(4, 12))
        for _ in range(g.integers(2, 6)):  # against the walls, facing in
            side, f = g.integers(4), (shelf, cabinet, sofa, cabinet, plant)[g.integers(5)]
            along = g.uniform(-.45, .45) * (d if side < 2 else w)
            x, z, yaw = [(-w / 2 + .35, along, np.pi / 2), (w / 2 - .35, along, -np.pi / 2), (along, -d / 2 + .35, 0), (along, d / 2 - .35, np.pi)][side]
            self.put(f(g, m), x, z, yaw)
        for _ in range(g.integers(3, 10)):
            f = (table, chair, chair, table, stand_lamp, plant, lambda g, m: thing(g, m, .25), sofa)[g.integers(8)]
            self.put(f(g, m), g.uniform(-.42, .42) * w, g.uniform(-.42, .42) * d, g.uniform(0, 6.28))
        if g.random() < .5: self.put([box(m.cloth(), (0, -.005, 0), (w * .25, .006, d * .25))], g.normal(0, .4), g.normal(0, .4), g.uniform(0, 3), keep=True)
        if g.random() < .4: self.put([cap(m.metal(), (0, -h, 0), (0, -h + .6, 0), .01), ell(m.lamp(), (0, -h + .65, 0), (.2, .14, .2))], g.normal(0, .7), g.normal(0, .7))
        yaw = g.uniform(0, 6.28)
        back = g.uniform(.15, .38)
        start = -np.sin(yaw) * w * back, -np.cos(yaw) * d * back
        sp, a = g.uniform(.1, .5), yaw + g.normal(0, 1.2)
        for _ in range(g.integers(0, 4)):
            x, z = g.uniform(-.3, .3) * w, g.uniform(-.3, .3) * d
            k = g.integers(2)
            r = g.uniform(.4, 1.0)
            path = around(x * .5, z * .5, w * .15 + r * .3, d * .15 + r * .3, g.choice([-1, 1]) * g.uniform(.3, .9), g.uniform(0, 6.28)) if k else \
                standing(x, z, g.uniform(0, 6.28), g.uniform(.5, 3))
            self.walkers.append(Walker(g, m, path, g.random() < .2))
        if g.random() < .4:
            f = g.uniform(2, 5)
            self.move([ell(m.any(), (0, -.15, 0), (.15, .15, .15))], around(0, 0, w * .2, d * .2, .6, g.uniform(0, 6)), lambda t: .7 * np.abs(np.sin(f * t)), 3)
        self.look(start, (sp * np.sin(a), sp * np.cos(a)), self.eye(), yaw + g.normal(0, .3), g.normal(0, .2), g.uniform(.05, .3),
                  -g.uniform(0, .25), roam=g.uniform(.05, .3))

    def make_corridor(self):
        g, m = self.g, self.m
        w, h, d = g.uniform(1.8, 4), g.uniform(2.4, 2.9), g.uniform(14, 60)
        side_room = g.uniform(1.5, 5)
        self.hall(w + 2 * side_room, h, d)
        wall = m.wall()
        for s in (-1, 1):
            z = -d / 2
            while z < d / 2:  # wall pieces with openings between them
                n = g.uniform(2, 9)
                self.put([box(wall, (s * (w / 2 + .1), -h / 2, z + n / 2), (.1, h / 2, n / 2))], keep=True)
                if g.random() < .7:
                    mat = m.wood() if g.random() < .5 else m.any()
                    self.put([box(mat, (s * w / 2, -1.02, z + g.uniform(.5, n - .5)), (.03, 1.02, .45))], keep=True)
                if g.random() < .5:
                    self.put([box(m.any(), (s * w / 2, -1.5, z + g.uniform(.4, n - .4)), (.015, g.uniform(.2, .5), g.uniform(.2, .6)))], keep=True)
                z += n + (g.uniform(.9, 1.8) if g.random() < .6 else 0.0)
        for _ in range(g.integers(0, 4)):
            y, x, p = -h + g.uniform(.05, .4), g.uniform(-.45, .45) * w, m.metal()
            self.put([cap(p, (x, y, -d / 2), (x, y, d / 2), g.uniform(.02, .1))], keep=True)
        if g.random() < .35:
            gap = g.uniform(2.5, 6)
            for i in range(int(d / gap)):
                for s in (-1, 1):
                    self.put([cyl(wall, (s * (w / 2 - .1), -h, -d / 2 + i * gap), (s * (w / 2 - .1), 0, -d / 2 + i * gap), g.uniform(.1, .2))])
        lamp, gap = m.lamp(), g.uniform(2, 5)
        for i in range(min(int(d / gap), 14)): self.put([box(lamp, (0, -h, -d / 2 + (i + .5) * gap), (g.uniform(.1, .3), .02, .5))], keep=True)
        for _ in range(g.integers(3, 14)):
            f = (chair, cabinet, plant, lambda g, m: thing(g, m, .3), bench, shelf, lambda g, m: thing(g, m, .4))[g.integers(7)]
            s = g.choice([-1, 1])
            self.put(f(g, m), s * (w / 2 - g.uniform(.15, .45)), g.uniform(-.48, .48) * d, -s * np.pi / 2 + g.normal(0, .2))
        z0, fwd = -d / 2 + g.uniform(1, d * .4), 1 if g.random() < .85 else -.6
        self.people(g.integers(0, 6), lambda: (g.uniform(-.35, .35) * w, z0 + g.uniform(2, 15), g.choice([0, np.pi]) + g.normal(0, .1), 0))
        self.lamp_follows = g.random() < .6
        if self.lamp_follows: self.lamp = (0, -h + .3, g.uniform(0, 4))
        self.reach = 3.5
        self.look((g.uniform(-.25, .25) * w, z0), (0, fwd * g.uniform(.4, 1.7)), self.eye(), g.normal(0, .16), g.normal(0, .04), g.uniform(.03, .2), g.normal(.03, .07), roam=.08)

    def make_street(self):
        g, m = self.g, self.m
        half = g.uniform(2.8, 6)
        walk = g.uniform(1.8, 3.5)
        self.put([row(PLANE, m.road(half * .95), (0, 0, 0), (0, -1, 0))], keep=True)
        pave = m.ground()
        for s in (-1, 1):
            self.put([box(pave, (s * (half + walk / 2), -.05, 60), (walk / 2, .1, 120))], keep=True)
            z = g.uniform(-25, -10)
            while z < 110:
                L, D, H = g.uniform(5, 18), g.uniform(4, 9), g.uniform(3.5, 22)
                set_back = g.uniform(0, 3) if g.random() < .4 else 0
                mat, x = m.facade(), s * (half + walk + set_back + D)
                rows = [box(mat, (x, -H / 2, z + L / 2), (D, H / 2, L / 2))]
                if g.random() < .6: rows.append(box(m.any(), (x - s * D, -g.uniform(2.4, 3.2), z + L / 2), (g.uniform(.2, 1.2), .06, L * .4)))
                if g.random() < .6: rows.append(box(m.any(), (x - s * D, -1.1, z + L * g.uniform(.2, .8)), (.06, 1.1, g.uniform(.5, 1.5))))
                if g.random() < .3: rows.append(box(mat, (x, -H - .3, z + L / 2), (D + .3, .3, L / 2 + .2)))
                self.put(rows, keep=True)
                z += L + (g.uniform(1, 8) if g.random() < .35 else 0)
            z = g.uniform(-4, 6)
            while z < 60:
                f = (street_lamp, tree, sign, street_lamp, tree)[g.integers(5)]
                self.put(f(g, m), s * (half + g.uniform(.3, .7)), z, 0 if s < 0 else np.pi, -.1)
                z += g.uniform(4, 16)
            for _ in range(g.integers(1, 6)):
                f = (bench, lambda g, m: thing(g, m, .35), plant, table, chair)[g.integers(5)]
                self.put(f(g, m), s * (half + walk * g.uniform(.2, .95)), g.uniform(1, 35), g.uniform(0, 6.28), -.14)
        if g.random() < .4: self.put([box(m.facade(), (0, -8, g.uniform(50, 110)), (40, 8, 5))], keep=True)
        for _ in range(g.integers(0, 4)):
            y, z = -g.uniform(5, 8), g.uniform(3, 40)
            self.put([cap(m.metal(), (-half - walk, y, z), (half + walk, y, z + g.normal(0, 3)), .02)])
        for _ in range(g.integers(1, 7)):
            s = g.choice([-1, 1])
            self.put(car(g, m), s * (half - 1.2), g.uniform(-3, 50), 0 if s > 0 else np.pi)
        for _ in range(g.integers(0, 4)):
            s = g.choice([-1, 1])
            self.move(car(g, m), straight(s * half * .4, g.uniform(-10, 60), 0 if s > 0 else np.pi, g.uniform(3, 13)))
        drive = g.random() < .25
        x0 = half * g.uniform(.2, .6) if drive else g.choice([-1, 1]) * (half + walk * g.uniform(-.6, .7))
        def spot():
            s = g.choice([-1, 1])
            return (s * (half + g.uniform(0, 1) * walk) if g.random() < .8 else g.uniform(-half, half)), g.uniform(2, 30), g.choice([0, np.pi]) + g.normal(0, .3), g.normal(0, .1)
        self.people(g.integers(2, 9), spot)
        sp = g.uniform(3, 12) if drive else g.uniform(.6, 1.8)
        yaw = g.normal(0, .35) - (np.sign(x0) * .15 if not drive else 0)
        self.look((x0, 0), (0, sp), self.eye(), yaw, g.normal(0, .1), g.uniform(.03, .25), g.normal(.04, .08), roam=.15)

    def make_field(self):
        g, m = self.g, self.m
        self.put([row(PLANE, m.ground(), (0, 0, 0), (0, -1, 0))], keep=True)
        hill = [m.ground() for _ in range(2)]
        for _ in range(g.integers(2, 9)):  # hills: wide ellipsoids sunk in the ground
            a, r = g.uniform(0, 6.28), g.uniform(35, 90)
            s = g.uniform(.25, .55) * r
            self.put([ell(hill[g.integers(2)], (0, s * .02, 0), (s, s * g.uniform(.06, .35), s * g.uniform(.6, 1.6)))], r * np.sin(a), r * np.cos(a), g.uniform(0, 3))
        if g.random() < .5:
            self.put([box(m.ground(), (0, 0, 0), (g.uniform(.6, 2), .01, 90))], g.normal(0, 1.5), 20, g.normal(0, .3), keep=True)
        near = lambda lo, hi: (lambda r, a: (r * np.sin(a), r * np.cos(a)))(np.exp(g.uniform(np.log(lo), np.log(hi))), g.normal(0, .8))
        for f, n, lo, hi in ((tree, g.integers(2, 14), 5, 45), (rock, g.integers(1, 9), 2, 25), (plant, g.integers(0, 7), 2, 12),
                             (fence, g.integers(0, 4), 3, 18), (lambda g, m: thing(g, m, .5), g.integers(0, 5), 2, 15), (sign, g.integers(0, 2), 3, 12)):
            for _ in range(n): self.put(f(g, m), *near(lo, hi), g.uniform(0, 6.28))
        for _ in range(g.integers(0, 3)):
            w, h, d, wall = g.uniform(3, 6), g.uniform(2, 4), g.uniform(3, 6), m.facade()
            self.put([box(wall, (0, -h / 2, 0), (w, h / 2, d)), box(m.any(), (0, -h - .2, 0), (w * .75, w * .75, d + .3), turn(0, 0, np.pi / 4))], *near(15, 45), g.uniform(0, 3))
        def spot():
            x, z = near(2.5, 20)
            return x, z, g.uniform(0, 6.28), g.normal(0, .2)
        self.people(g.integers(0, 5), spot)
        a, sp = g.normal(0, .6), g.uniform(.5, 2.2)
        self.look((0, 0), (sp * np.sin(a), sp * np.cos(a)), self.eye(), g.normal(0, .3), g.normal(0, .15), g.uniform(.05, .3), g.normal(.1, .09), roam=.2)

    def make_crowd(self):
        g, m = self.g, self.m
        if g.random() < .4:
            w, h, d = g.uniform(9, 18), g.uniform(3, 6), g.uniform(12, 30)
            self.hall(w, h, d)
            self.on_walls(w, h, d, g.integers(4, 12))
            for _ in range(g.integers(0, 6)): self.put([cyl(m.wall(), (0, -h, 0), (0, 0, 0), g.uniform(.15, .4))], g.uniform(-.4, .4) * w, g.uniform(-.4, .4) * d)
            z0, reach = -d * .35, d * .75
        else:
            self.put([row(PLANE, m.ground(), (0, 0, 0), (0, -1, 0))], keep=True)
            z0, reach, w = 0, 22, 16
            for _ in range(g.integers(4, 10)):
                a, r, H = g.normal(0, .9), g.uniform(14, 50), g.uniform(4, 18)
                self.put([box(m.facade(), (0, -H / 2, 0), (g.uniform(3, 10), H / 2, g.uniform(3, 8)))], r * np.sin(a), r * np.cos(a), g.normal(0, .3))
            for _ in range(g.integers(2, 9)):
                f = (tree, street_lamp, bench, sign, plant, fence)[g.integers(6)]
                self.put(f(g, m), g.uniform(-9, 9), g.uniform(2, 25), g.uniform(0, 6.28))
        for _ in range(g.integers(0, 5)): self.put(thing(g, m, .35), g.uniform(-.4, .4) * w, z0 + g.uniform(1.5, .6 * reach), g.uniform(0, 6.28))
        flow = g.uniform(0, 6.28)
        def spot():
            r, a = np.exp(g.uniform(np.log(1.6), np.log(.95 * reach))), g.normal(0, .6)
            x = np.clip(r * np.sin(a), -.45 * w, .45 * w)
            return x, z0 + r * np.cos(a), flow + g.choice([0, np.pi]) + g.normal(0, .5), g.normal(0, .2)
        self.people(g.integers(8, 20), spot, still=.25)
        a, sp = g.normal(0, .5), g.uniform(.3, 1.4)
        self.look((g.normal(0, .5), z0), (sp * np.sin(a), sp * np.cos(a)), self.eye(), g.normal(0, .2), g.normal(0, .12), g.uniform(.05, .25), -g.normal(-.02, .08), roam=.2)

    def make_clutter(self):
        g, m = self.g, self.m
        w, h, d = g.uniform(3.2, 8), g.uniform(2.4, 2.8), g.uniform(3.5, 10)
        self.hall(w, h, d)
        self.on_walls(w, h, d, g.integers(0, 6))
        on_table = g.random() < .5
        y = 0.0
        if on_table:
            y = -g.uniform(.7, .8)
            self.put([box(m.wood(), (0, y + .02, 0), (g.uniform(.8, 1.8), .02, g.uniform(.6, 1.6)))], keep=True)
        spread, size = (1.2, .12) if on_table else (min(w, d) * .4, .3)
        for _ in range(g.integers(14, 34)):
            s = size * np.exp(g.normal(0, .3))
            x, z = g.normal(0, spread * .5, 2)
            if g.random() < .9: self.put(thing(g, m, s), np.clip(x, -.45 * w, .45 * w), np.clip(z, -.45 * d, .45 * d), g.uniform(0, 6.28), y)
            else:  # floating, turned
                r = place(thing(g, m, s), turn(*g.uniform(-3, 3, 3)), np.array([x, y - g.uniform(.1, 1.2), z]))
                if g.random() < .4: self.move(r - 0, around(0, 0, g.uniform(.05, .4), g.uniform(.05, .4), g.uniform(-1.5, 1.5), g.uniform(0, 6)), None, g.normal(0, .3))
                else: self.put(r)
        for _ in range(g.integers(1, 4)):  # rods across the view
            a, b = g.uniform(-1.5, 1.5, 3), g.uniform(-1.5, 1.5, 3)
            self.put([cap(m.any(), a + [0, y - 1, 0], b + [0, y - 1, 0], g.uniform(.006, .03))])
        yaw, r = g.uniform(0, 6.28), g.uniform(.45, .8) * spread + g.uniform(.5, 1.0)
        height = -y + g.uniform(.4, .6) if on_table else self.eye()
        side = g.choice([-1, 1]) * g.uniform(.1, .45)
        self.look((-r * np.sin(yaw), -r * np.cos(yaw)), (side * np.cos(yaw), -side * np.sin(yaw)), height, yaw + g.normal(0, .12), -side / (r + .5) * g.uniform(.3, 1), g.uniform(.02, .15),
                  -np.arctan2(height + y - .2, r) * g.uniform(.4, 1.1), roam=g.uniform(.03, .12))


def sub_frames(clip, frames, samples, height, width, shutter=0.5):
    """Rows for the renderer: frames (T,) frame numbers -> dict of (T, samples, ...) arrays. Sub-frame 0 is the frame's
    own time through the pixel's centre; the others are spread over the shutter and the pixel."""
    frames = np.asarray(frames, float)
    T, g = len(frames), np.random.default_rng([clip.seed, 5])
    off = np.concatenate([[0], (np.arange(samples - 1) + .5) / max(samples - 1, 1) - .5]) * shutter
    t = ((frames[:, None] + off[None]) / FPS).reshape(-1)
    prims, groups, views = clip.evaluate(t)
    fx = .5 * max(width, height) / np.tan(.5 * clip.fov)
    views[:, 12], views[:, 13], views[:, 14], views[:, 15] = fx, fx, .5 * width, .5 * height
    jit = (np.stack([np.arange(samples), (np.arange(samples) * .618) % 1 * samples]) / samples + .5 / samples) % 1
    jit[:, 0] = .5
    views[:, 48], views[:, 49] = np.tile(jit[0], T), np.tile(jit[1], T)
    s = lambda a: a.reshape((T, samples) + a.shape[1:]).astype(np.float32)
    return dict(prims=s(prims), groups=s(groups), views=s(views), mats=np.broadcast_to(clip.mats, (T,) + clip.mats.shape).astype(np.float32))


def collate(items):
    """Pads and stacks the dicts of several clips."""
    out = {}
    for k, axis in (("prims", 2), ("groups", 2), ("mats", 1), ("views", None)):
        a = [i[k] for i in items]
        if axis is not None:
            n = max(x.shape[axis] for x in a)
            a = [np.concatenate([x, np.zeros(x.shape[:axis] + (n - x.shape[axis],) + x.shape[axis + 1:], np.float32)], axis) for x in a]
        out[k] = np.concatenate(a, 0)
    return out
