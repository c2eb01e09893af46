//! Place: where each node and each line of a picture goes, layer by layer.
//!
//! The usual steps for graphs that mostly lead down: long lines get a joint in every
//! layer that they pass, each layer is sorted so that few lines cross, and then
//! everything moves as close to what it is linked with as its neighbours allow.
//! Nothing recurs, and each step takes time in the size of the graph.

use super::links::{Link, layers};

/// Between two neighbours in a layer, and between two layers.
const GAP: f64 = 28.0;
const ROOM: f64 = 62.0;
/// The width that a line takes up as it passes a layer.
const JOINT: f64 = 16.0;

/// How often the layers are sorted, down and up.
const SORTS: usize = 6;
/// How often they are moved, down and up.
const MOVES: usize = 6;

/// The most joints of a picture, and those more for each node and link. Where lines
/// need more, the longest of them cross layers wherever they come to.
const JOINTS: usize = 4_000;
const JOINTS_EACH: usize = 2;

/// How large a node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub width: f64,
    pub height: f64,
}

/// A point of a picture; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
}

/// A picture's places.
pub(super) struct Placed {
    /// The middle of each node.
    pub nodes: Vec<Point>,
    /// For each link the middles of the layers that it passes between its ends.
    pub joints: Vec<Vec<Point>>,
    pub width: f64,
    pub height: f64,
}

/// Places nodes of these sizes, all of one height.
pub(super) fn place(sizes: &[Size], links: &[Link]) -> Placed {
    let height = sizes.first().map_or(0.0, |size| size.height);
    let layers = layers(sizes.len(), links);
    let mut grid = Grid::new(sizes, links, &layers);
    for _ in 0..SORTS {
        grid.sort(Side::Above);
        grid.sort(Side::Below);
    }
    grid.pack();
    for _ in 0..MOVES {
        grid.shift(Side::Above);
        grid.shift(Side::Below);
    }
    let edge = |sign: f64| {
        let edges = grid.xs.iter().zip(&grid.widths).map(move |(x, width)| x + sign * width / 2.0);
        edges.fold(None, |most: Option<f64>, x| {
            Some(most.map_or(x, |most| if x * sign > most * sign { x } else { most }))
        })
    };
    let (left, right) = (edge(-1.0).unwrap_or(0.0), edge(1.0).unwrap_or(0.0));
    let at =
        |item: usize| Point { x: grid.xs[item] - left, y: height / 2.0 + grid.layer[item] as f64 * (height + ROOM) };
    Placed {
        nodes: (0..sizes.len()).map(at).collect(),
        joints: grid.joints.iter().map(|joints| joints.iter().copied().map(at).collect()).collect(),
        width: right - left,
        height: grid.rows.len() as f64 * (height + ROOM) - if grid.rows.is_empty() { 0.0 } else { ROOM },
    }
}

#[derive(Clone, Copy)]
enum Side {
    Above,
    Below,
}

/// Nodes, and after them the joints of long lines; all are items of some layer.
struct Grid {
    widths: Vec<f64>,
    layer: Vec<usize>,
    xs: Vec<f64>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// The items of each layer, from left to right.
    rows: Vec<Vec<usize>>,
    /// The joints of each link.
    joints: Vec<Vec<usize>>,
}

impl Grid {
    fn new(sizes: &[Size], links: &[Link], layers: &[usize]) -> Self {
        let mut grid = Self {
            widths: sizes.iter().map(|size| size.width).collect(),
            layer: layers.to_vec(),
            xs: Vec::new(),
            above: vec![Vec::new(); sizes.len()],
            below: vec![Vec::new(); sizes.len()],
            rows: vec![Vec::new(); layers.iter().max().map_or(0, |last| last + 1)],
            joints: vec![Vec::new(); links.len()],
        };
        // The shortest lines first: they need the fewest joints.
        let length = |link: &Link| layers[link.to].saturating_sub(layers[link.from]);
        let mut order: Vec<usize> = (0..links.len()).filter(|link| !links[*link].back).collect();
        order.sort_by_key(|link| length(&links[*link]));
        let mut left = JOINTS + JOINTS_EACH * (sizes.len() + links.len());
        for ix in order {
            let link = &links[ix];
            let mut last = link.from;
            let needed = length(link).saturating_sub(1);
            if needed <= left {
                left -= needed;
                for layer in layers[link.from] + 1..layers[link.to] {
                    let joint = grid.joint(layer);
                    grid.join(last, joint);
                    grid.joints[ix].push(joint);
                    last = joint;
                }
            }
            grid.join(last, link.to);
        }
        for item in 0..grid.layer.len() {
            grid.rows[grid.layer[item]].push(item);
        }
        grid.xs = vec![0.0; grid.layer.len()];
        grid.number();
        grid
    }

    fn joint(&mut self, layer: usize) -> usize {
        self.widths.push(JOINT);
        self.layer.push(layer);
        self.above.push(Vec::new());
        self.below.push(Vec::new());
        self.layer.len() - 1
    }

    fn join(&mut self, from: usize, to: usize) {
        self.below[from].push(to);
        self.above[to].push(from);
    }

    /// While layers are sorted, an item's place is its number in its layer, counted
    /// from the middle.
    fn number(&mut self) {
        for row in &self.rows {
            for (number, item) in row.iter().enumerate() {
                self.xs[*item] = number as f64 - (row.len() - 1) as f64 / 2.0;
            }
        }
    }

    /// The middle of what an item is linked with on one side; where it stands already
    /// if that is nothing.
    fn wanted(&self, item: usize, side: Side) -> f64 {
        let linked = match side {
            Side::Above => &self.above[item],
            Side::Below => &self.below[item],
        };
        if linked.is_empty() {
            return self.xs[item];
        }
        linked.iter().map(|other| self.xs[*other]).sum::<f64>() / linked.len() as f64
    }

    /// The layers in the order in which one side of each is settled before it.
    fn sweep(&self, side: Side) -> Vec<usize> {
        match side {
            Side::Above => (0..self.rows.len()).collect(),
            Side::Below => (0..self.rows.len()).rev().collect(),
        }
    }

    fn sort(&mut self, side: Side) {
        for layer in self.sweep(side) {
            let mut row: Vec<(f64, usize)> =
                self.rows[layer].iter().map(|item| (self.wanted(*item, side), *item)).collect();
            row.sort_by(|one, other| one.0.total_cmp(&other.0));
            let middle = (row.len() - 1) as f64 / 2.0;
            for (number, (_, item)) in row.iter().enumerate() {
                self.xs[*item] = number as f64 - middle;
            }
            self.rows[layer] = row.into_iter().map(|(_, item)| item).collect();
        }
    }

    /// Side by side, around the middle.
    fn pack(&mut self) {
        for layer in 0..self.rows.len() {
            let row = std::mem::take(&mut self.rows[layer]);
            let places = self.offsets(&row);
            let middle = places.last().map_or(0.0, |last| last / 2.0);
            for (item, place) in row.iter().zip(&places) {
                self.xs[*item] = place - middle;
            }
            self.rows[layer] = row;
        }
    }

    /// How far each item of a layer is from the first at least.
    fn offsets(&self, row: &[usize]) -> Vec<f64> {
        let mut offset = 0.0;
        let mut offsets = Vec::with_capacity(row.len());
        for (number, item) in row.iter().enumerate() {
            if let Some(before) = number.checked_sub(1) {
                offset += (self.widths[row[before]] + self.widths[*item]) / 2.0 + GAP;
            }
            offsets.push(offset);
        }
        offsets
    }

    /// Moves the items of each layer to where they want to be, as closely as their
    /// order and widths allow. With the offsets taken away that is the closest rising
    /// sequence, which comes of merging neighbours that are out of order into blocks
    /// with one mean (pool adjacent violators).
    fn shift(&mut self, side: Side) {
        for layer in self.sweep(side) {
            let row = std::mem::take(&mut self.rows[layer]);
            let offsets = self.offsets(&row);
            // The sum of what a block wants, and how many are in it.
            let mut blocks: Vec<(f64, usize)> = Vec::with_capacity(row.len());
            for (item, offset) in row.iter().zip(&offsets) {
                let mut block = (self.wanted(*item, side) - offset, 1);
                while let Some(before) = blocks.last().filter(|last| last.0 / last.1 as f64 > block.0 / block.1 as f64)
                {
                    block = (block.0 + before.0, block.1 + before.1);
                    blocks.pop();
                }
                blocks.push(block);
            }
            let means = blocks.iter().flat_map(|(sum, many)| std::iter::repeat_n(sum / *many as f64, *many));
            for ((item, offset), mean) in row.iter().zip(&offsets).zip(means) {
                self.xs[*item] = mean + offset;
            }
            self.rows[layer] = row;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 100.0, height: 40.0 };

    fn link(from: usize, to: usize) -> Link {
        Link { from, to, edges: Vec::new(), back: false }
    }

    fn placed(nodes: usize, pairs: &[(usize, usize)]) -> Placed {
        let links: Vec<Link> = pairs.iter().map(|(from, to)| link(*from, *to)).collect();
        place(&vec![SIZE; nodes], &links)
    }

    #[test]
    fn nodes_of_a_layer_do_not_overlap_and_lie_within_the_picture() {
        let placed = placed(9, &[(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 5), (0, 6), (6, 7), (4, 8), (0, 8)]);
        for (ix, one) in placed.nodes.iter().enumerate() {
            assert!(one.x >= 49.9 && one.x <= placed.width - 49.9 && one.y <= placed.height - 19.9, "{one:?}");
            for other in placed.nodes[ix + 1..].iter().filter(|other| other.y == one.y) {
                assert!((one.x - other.x).abs() >= 100.0 + GAP - 0.01, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn a_node_stands_below_the_middle_of_what_it_follows() {
        let placed = placed(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        assert!((placed.nodes[0].x - placed.nodes[3].x).abs() < 0.01);
        assert!((placed.nodes[1].x + placed.nodes[2].x - 2.0 * placed.nodes[0].x).abs() < 0.01);
    }

    #[test]
    fn lines_that_need_not_cross_do_not() {
        // Given crosswise: 0 to 3 and 1 to 2.
        let placed = placed(4, &[(0, 3), (1, 2)]);
        let order = |one: usize, other: usize| placed.nodes[one].x < placed.nodes[other].x;
        assert_eq!(order(0, 1), order(3, 2));
    }

    #[test]
    fn a_long_line_has_a_joint_in_each_layer_that_it_passes() {
        let placed = placed(4, &[(0, 1), (1, 2), (2, 3), (0, 3)]);
        assert_eq!(placed.joints.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 2]);
        assert_eq!(placed.joints[3][0].y, placed.nodes[1].y);
        assert_ne!(placed.joints[3][0].x, placed.nodes[1].x);
    }

    #[test]
    fn a_graph_of_nothing_has_no_size() {
        let placed = placed(0, &[]);
        assert_eq!((placed.width, placed.height), (0.0, 0.0));
    }
}
