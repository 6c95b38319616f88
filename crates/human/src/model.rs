//! The compiled model: features measured into slots, trees walked, leaves added up.

use crate::extract::Extraction;
use crate::fault::{FeatureFault, ScoreFault, SelfTestFault};
use crate::file::{FeatureFile, Node};
use crate::limits::{DEPTH_MAX, FEATURES_MAX, TREES_MAX};
use crate::{sample, score};
use seawall_http::View;

/// Slots for the values of features, made once and used again for every request. One for each worker.
#[derive(Clone, Debug)]
pub struct Scratch {
    slots: Box<[f32; FEATURES_MAX]>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { slots: Box::new([0.0; FEATURES_MAX]) }
    }
}

impl Scratch {
    /// Slots for [`FEATURES_MAX`] features.
    #[must_use]
    pub fn new() -> Scratch {
        Scratch::default()
    }
}

/// A feature file made ready to score with. Immutable; shared by all workers.
#[derive(Clone, Debug)]
pub struct Model {
    generated: Box<str>,
    extraction: Extraction,
    /// Nodes of all trees, one tree behind the other.
    nodes: Vec<Compiled>,
    /// Where each tree begins.
    roots: Vec<u32>,
    base: f32,
}

/// A node: a split, or a leaf if its feature is [`LEAF`].
#[derive(Clone, Copy, Debug)]
struct Compiled {
    /// Threshold of a split, value of a leaf.
    value: f32,
    feature: u32,
    left: u32,
    right: u32,
}

const LEAF: u32 = u32::MAX;

/// Where a child leads that does not exist in its tree: to no node.
const NOWHERE: u32 = u32::MAX;

impl Model {
    /// Checks a file once more (R2) and makes it ready.
    ///
    /// # Errors
    /// What [`FeatureFile::check`] finds.
    pub fn compile(file: &FeatureFile) -> Result<Model, FeatureFault> {
        file.check()?;
        Ok(Model::compile_unchecked(file))
    }

    /// Makes a file ready as it is, sound or not, for drills that bypass the checks. What does not work gives a
    /// [`ScoreFault`] for each request.
    #[must_use]
    pub fn compile_unchecked(file: &FeatureFile) -> Model {
        let mut nodes = Vec::with_capacity(file.trees.iter().map(Vec::len).sum());
        let mut roots = Vec::with_capacity(file.trees.len());
        for tree in &file.trees {
            let root = nodes.len() as u32;
            // Children are kept within their tree, so that a broken tree cannot borrow a neighbour's leaf.
            let place = |child: u32| if (child as usize) < tree.len() { root + child } else { NOWHERE };
            roots.push(root);
            nodes.extend(tree.iter().map(|node| match *node {
                Node::Leaf(value) => Compiled { value, feature: LEAF, left: NOWHERE, right: NOWHERE },
                Node::Split { feature, threshold: value, left, right } => {
                    Compiled { value, feature: feature.min(LEAF - 1), left: place(left), right: place(right) }
                }
            }));
        }
        let extraction = Extraction::of(&file.features);
        Model { generated: file.generated.as_str().into(), extraction, nodes, roots, base: file.base }
    }

    /// Scores a request from 1 (bot) to 99 (human). The same head gives the same score on every machine.
    ///
    /// Allocates nothing, and its time is bounded whatever the head holds.
    ///
    /// # Errors
    /// When there is no score: the file has more features than slots, or is broken in another way. Then the score is
    /// absent and no rule on it matches (R5).
    pub fn score(&self, view: &View<'_>, scratch: &mut Scratch) -> Result<u8, ScoreFault> {
        let values = self.extraction.measure(view, &mut scratch.slots[..])?;
        match self.roots.len() {
            0 => return Err(ScoreFault::NoTrees),
            trees if trees > TREES_MAX => return Err(ScoreFault::TooManyTrees { trees, most: TREES_MAX }),
            _ => {}
        }
        let mut sum = self.base;
        for (i, root) in self.roots.iter().enumerate() {
            sum += self.walk(*root, values).ok_or(ScoreFault::Tree(i))?;
        }
        score::of_sum(sum).ok_or(ScoreFault::NoNumber)
    }

    /// Scores recorded heads of browsers and tools and looks whether the scores make sense.
    ///
    /// # Errors
    /// When one has no score, all are alike, or low scores do not mean bots.
    pub fn self_test(&self) -> Result<SelfTest, SelfTestFault> {
        sample::self_test(self)
    }

    /// Number of features.
    #[must_use]
    pub fn features(&self) -> usize {
        self.extraction.count()
    }

    /// Number of trees.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// When the file says it was generated.
    #[must_use]
    pub fn generated(&self) -> &str {
        &self.generated
    }

    /// Memory held, in bytes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.extraction.memory_bytes() + self.nodes.capacity() * size_of::<Compiled>()
    }

    /// The leaf that the values lead to. At most [`DEPTH_MAX`] splits, so a tree that leads round ends too.
    #[inline]
    fn walk(&self, root: u32, values: &[f32]) -> Option<f32> {
        let mut at = root;
        for _ in 0..=DEPTH_MAX {
            let node = self.nodes.get(at as usize)?;
            if node.feature == LEAF {
                return Some(node.value);
            }
            at = if *values.get(node.feature as usize)? < node.value { node.left } else { node.right };
        }
        None
    }
}

/// How a model did in its own test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// Heads that were scored.
    pub heads: usize,
    /// The middle score of browsers.
    pub browsers: u8,
    /// The middle score of tools and crawlers.
    pub tools: u8,
}
