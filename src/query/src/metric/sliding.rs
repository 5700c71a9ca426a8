//! What is the fold of a window that slides over pieces, without ever taking a piece back out of a sum?
//!
//! Subtracting what leaves a window would let rounding errors pile up, and minima cannot be subtracted at all. Two
//! stacks need merging only: the front one holds the folds of its pieces up to the border between the two, the back
//! one collects new pieces, and when the front is used up, the back becomes the front. Each piece is merged at most
//! twice.

use std::ops::Range;

/// Something that takes in what comes behind it.
pub trait Merge {
    /// Takes in `later`.
    fn merge(&mut self, later: &Self);
}

/// A window over pieces that are numbered.
#[derive(Debug)]
pub struct Sliding<T> {
    /// The folds from each piece to the border, the oldest piece last.
    front: Vec<T>,
    back: Vec<T>,
    back_fold: Option<T>,
    held: Range<usize>,
}

impl<T: Merge + Copy> Sliding<T> {
    /// An empty window before all pieces.
    pub fn new() -> Self {
        Self { front: Vec::new(), back: Vec::new(), back_fold: None, held: 0..0 }
    }

    /// Moves on to the pieces of `window`, neither end of which may go back, and folds them.
    pub fn fold(&mut self, window: Range<usize>, piece: impl Fn(usize) -> Option<T>) -> Option<T> {
        if window.start >= self.held.end {
            self.front.clear();
            self.back.clear();
            self.back_fold = None;
            self.held = window.start..window.start;
        }
        for piece in (self.held.end..window.end).filter_map(piece) {
            self.back.push(piece);
            match &mut self.back_fold {
                Some(fold) => fold.merge(&piece),
                none => *none = Some(piece),
            }
        }
        (self.held.start..window.start).for_each(|_| self.drop_oldest());
        self.held = window;
        match (self.front.last(), &self.back_fold) {
            (Some(front), Some(back)) => {
                let mut fold = *front;
                fold.merge(back);
                Some(fold)
            }
            (front, back) => front.copied().or(*back),
        }
    }

    fn drop_oldest(&mut self) {
        if self.front.is_empty() {
            self.back_fold = None;
            while let Some(mut fold) = self.back.pop() {
                if let Some(next) = self.front.last() {
                    fold.merge(next);
                }
                self.front.push(fold);
            }
        }
        self.front.pop();
    }
}
