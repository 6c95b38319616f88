//! Gradient boosting: trees of at most [`DEPTH`] splits on the logistic loss, by second derivatives, over binned
//! values. Sums, products and comparisons only, so that a seed gives the same trees on every machine.

use super::random::Random;
use seawall_human::Node;

/// Splits above a leaf.
pub const DEPTH: usize = 4;
/// Trees to be grown.
pub const TREES: usize = 48;
/// How much of a tree's advice is taken; less learns slower and generalises better.
const RATE: f64 = 0.3;
/// Weight of the wish for small leaves. Generated heads are cleaner than real ones: nothing should be quite certain.
const RIDGE: f64 = 8.0;
/// Least second derivative in a leaf: some dozens of samples that are not yet clear.
const LEAF_WEIGHT: f64 = 4.0;
/// Least gain for which a node is split.
const GAIN: f64 = 0.5;
/// Bins of values, at most.
const BINS: usize = 48;
/// Percent of the features that a tree may look at, so that no few of them carry all.
const FEATURES: u64 = 30;

/// Values of the features of one sample, and whether a human sent it.
pub type Row = (Vec<f32>, bool);

/// The thresholds of each feature: between values that occur, as even in number as can be.
fn thresholds(rows: &[Row], feature: usize) -> Vec<f32> {
    let mut values: Vec<f32> = rows.iter().map(|(values, _)| values[feature]).collect();
    values.sort_by(f32::total_cmp);
    let mut found: Vec<f32> = Vec::new();
    let every = (values.len() / BINS).max(1);
    let mut since = 0;
    for pair in values.windows(2) {
        since += 1;
        // Values that few samples have get a threshold of their own as long as there is room.
        if pair[0] < pair[1] && (since >= every || found.len() < 4) {
            // Short numbers: the file is read by people.
            let middle = ((pair[0] + pair[1]) / 2.0 * 100.0).round() / 100.0;
            let threshold = if middle > pair[0] && middle <= pair[1] { middle } else { pair[1] };
            found.push(threshold);
            since = 0;
        }
    }
    found.dedup();
    found
}

/// e^x by halving, a series and squaring: the same bits everywhere, which the C library does not promise.
fn exp(x: f64) -> f64 {
    let small = x.clamp(-40.0, 40.0) / 1024.0;
    let mut sum = 1.0;
    for i in (1..12).rev() {
        sum = 1.0 + small / f64::from(i) * sum;
    }
    (0..10).fold(sum, |sum, _| sum * sum)
}

struct Binned {
    thresholds: Vec<Vec<f32>>,
    /// Bin of each sample, feature by feature.
    bins: Vec<Vec<u8>>,
}

/// Grows the trees.
pub fn grow(rows: &[Row], random: &mut Random) -> Vec<Vec<Node>> {
    let features = rows.first().map_or(0, |(values, _)| values.len());
    let thresholds: Vec<Vec<f32>> = (0..features).map(|f| thresholds(rows, f)).collect();
    let bin = |f: usize, value: f32| thresholds[f].partition_point(|t| *t <= value) as u8;
    let bins = (0..features).map(|f| rows.iter().map(|(v, _)| bin(f, v[f])).collect()).collect();
    let binned = Binned { thresholds, bins };
    let mut sums = vec![0.0; rows.len()];
    let mut trees = Vec::new();
    for _ in 0..TREES {
        let slopes: Vec<(f64, f64)> = sums
            .iter()
            .zip(rows)
            .map(|(sum, (_, human))| {
                let chance = 1.0 / (1.0 + exp(-sum));
                (chance - f64::from(u8::from(*human)), chance * (1.0 - chance))
            })
            .collect();
        let allowed: Vec<usize> = (0..features).filter(|_| random.percent(FEATURES)).collect();
        let mut tree = Vec::new();
        let everyone: Vec<u32> = (0..rows.len() as u32).collect();
        branch(&binned, &slopes, &allowed, everyone, 0, &mut tree, &mut sums);
        trees.push(tree);
    }
    trees
}

/// Grows a node from these samples and returns its position.
fn branch(
    binned: &Binned,
    slopes: &[(f64, f64)],
    allowed: &[usize],
    samples: Vec<u32>,
    depth: usize,
    tree: &mut Vec<Node>,
    sums: &mut [f64],
) -> u32 {
    let at = tree.len();
    let (g, h) = samples.iter().fold((0.0, 0.0), |(g, h), i| {
        let (a, b) = slopes[*i as usize];
        (g + a, h + b)
    });
    let best = if depth < DEPTH { split(binned, slopes, allowed, &samples, (g, h)) } else { None };
    let Some((feature, bin)) = best else {
        let leaf = (-RATE * g / (h + RIDGE) * 1000.0).round() / 1000.0;
        for i in samples {
            sums[i as usize] += leaf;
        }
        // Not the -0 that rounding can leave.
        tree.push(Node::Leaf(leaf as f32 + 0.0));
        return at as u32;
    };
    let (low, high) = samples.into_iter().partition(|i| binned.bins[feature][*i as usize] <= bin);
    tree.push(Node::Leaf(0.0));
    let left = branch(binned, slopes, allowed, low, depth + 1, tree, sums);
    let right = branch(binned, slopes, allowed, high, depth + 1, tree, sums);
    let threshold = binned.thresholds[feature][usize::from(bin)];
    tree[at] = Node::Split { feature: feature as u32, threshold, left, right };
    at as u32
}

/// The feature and bin with the most gain, if it is worth it.
fn split(
    binned: &Binned,
    slopes: &[(f64, f64)],
    allowed: &[usize],
    samples: &[u32],
    (g, h): (f64, f64),
) -> Option<(usize, u8)> {
    let worth = |g: f64, h: f64| g * g / (h + RIDGE);
    let mut best = (GAIN, None);
    for feature in allowed {
        let bins = &binned.bins[*feature];
        let mut histogram = [(0.0, 0.0); BINS + 8];
        for i in samples {
            let (a, b) = slopes[*i as usize];
            let place = &mut histogram[usize::from(bins[*i as usize])];
            place.0 += a;
            place.1 += b;
        }
        let (mut left_g, mut left_h) = (0.0, 0.0);
        for (bin, (g_here, h_here)) in histogram[..binned.thresholds[*feature].len()].iter().enumerate() {
            left_g += g_here;
            left_h += h_here;
            let (right_g, right_h) = (g - left_g, h - left_h);
            if left_h < LEAF_WEIGHT || right_h < LEAF_WEIGHT {
                continue;
            }
            let gain = worth(left_g, left_h) + worth(right_g, right_h) - worth(g, h);
            if gain > best.0 {
                best = (gain, Some((*feature, bin as u8)));
            }
        }
    }
    best.1
}

/// Area under the ROC curve: the chance that a human scores above a bot, ties counting half.
pub fn auc(scores: &[(u8, bool)]) -> f64 {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (human, _) in scores.iter().filter(|(_, is)| *is) {
        for (bot, _) in scores.iter().filter(|(_, is)| !*is) {
            pairs += 1.0;
            wins += match human.cmp(bot) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    wins / pairs
}
