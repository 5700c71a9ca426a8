//! What is the value of a metric query, given the values of its leaves?

use super::absent::absent;
use super::aggregate::aggregate;
use super::binary;
use super::error::EvalError;
use super::label_replace::Replacement;
use super::leaf::{Leaf, pushdown, uses};
use super::matrix::Matrix;
use super::order::{self, Rank};
use super::partial::Reduction;
use super::steps::Steps;
use super::topk;
use super::value::Value;
use strandline_logql::ast::{MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp};

/// What an evaluation may use up.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Memory in bytes for all series that are alive at one time.
    pub bytes: usize,
    /// Series in the answer, if they are limited.
    pub series: Option<usize>,
}

/// Reads a leaf into series without empty ones, within a number of bytes. For `absent_over_time`, which is turned
/// around here, there must be a point wherever there are lines.
pub type ReadLeaf<'r, E> = dyn FnMut(&Leaf<'_>, usize) -> Result<Matrix, E> + 'r;

/// Evaluates `expr`. `go_on` is asked at every node, with the bytes of all series at hand, whether the answer is still wanted
/// and may take so much; `read` is asked once for each of its [`leaves`](super::leaf::leaves), in their order. The series of
/// the answer are in order of their labels, or as an instant query orders them.
pub fn evaluate<E: From<EvalError>>(
    expr: &MetricExpr,
    steps: &Steps,
    budget: &Budget,
    go_on: &dyn Fn(usize) -> Result<(), E>,
    read: &mut ReadLeaf<'_, E>,
) -> Result<Value, E> {
    let leaves = uses(expr).into_iter().map(|(leaf, uses)| Known { leaf, uses, matrix: None }).collect();
    let mut evaluation = Evaluation { steps, budget, go_on, read, leaves, alive: 0 };
    let mut matrix = match evaluation.value(expr)? {
        Value::Matrix(matrix) => matrix,
        scalar => return Ok(scalar),
    };
    if let Some(limit) = budget.series.filter(|limit| matrix.series.len() > *limit) {
        return Err(EvalError::TooManySeries(limit).into());
    }
    if !(steps.is_instant() && order::is_by_value(expr)) {
        order::by_labels(&mut matrix);
    }
    Ok(Value::Matrix(matrix))
}

/// A leaf, how often it will still be asked for, and its value if that is more than once.
struct Known<'a> {
    leaf: Leaf<'a>,
    uses: usize,
    matrix: Option<Matrix>,
}

struct Evaluation<'a, 'r, E> {
    steps: &'a Steps,
    budget: &'a Budget,
    go_on: &'a dyn Fn(usize) -> Result<(), E>,
    read: &'a mut ReadLeaf<'r, E>,
    leaves: Vec<Known<'a>>,
    /// Bytes of all series at hand.
    alive: usize,
}

impl<'a, E: From<EvalError>> Evaluation<'a, '_, E> {
    fn value(&mut self, expr: &'a MetricExpr) -> Result<Value, E> {
        (self.go_on)(self.alive)?;
        match expr {
            MetricExpr::Literal(number) => Ok(Value::Scalar(*number)),
            MetricExpr::VectorLiteral(number) => {
                self.keep(Value::Matrix(Matrix::constant(*number, self.steps.count())), 0)
            }
            MetricExpr::Range(aggregation) => self.range(aggregation),
            MetricExpr::Vector(vector) => self.vector(vector),
            MetricExpr::Binary(binary) => {
                let left = self.value(&binary.left)?;
                let right = self.value(&binary.right)?;
                let mut used = left.bytes() + right.bytes();
                if binary::reuses(binary.op, &left, &right) {
                    self.forget(std::mem::take(&mut used));
                }
                let result = binary::combine(binary, left, right, self.steps.count())?;
                self.keep(result, used)
            }
            MetricExpr::LabelReplace(replace) => {
                let replacement = Replacement::new(replace)?;
                let inner = self.matrix(&replace.inner)?;
                self.forget(inner.bytes());
                self.keep(Value::Matrix(replacement.apply(inner)), 0)
            }
        }
    }

    fn matrix(&mut self, expr: &'a MetricExpr) -> Result<Matrix, E> {
        match self.value(expr)? {
            Value::Matrix(matrix) => Ok(matrix),
            // `sum(1)` is taken for `sum(vector(1))`.
            Value::Scalar(number) => self.keep_matrix(Matrix::constant(number, self.steps.count()), 0),
        }
    }

    fn range(&mut self, aggregation: &'a RangeAggregation) -> Result<Value, E> {
        let found = self.leaf(Leaf::of(aggregation))?;
        if aggregation.op != RangeOp::Absent {
            return Ok(Value::Matrix(found));
        }
        let used = found.bytes();
        let result = absent(&found, &aggregation.log.matchers, self.steps.count());
        self.keep(Value::Matrix(result), used)
    }

    fn vector(&mut self, vector: &'a VectorAggregation) -> Result<Value, E> {
        if let Some(leaf) = pushdown(vector) {
            return self.leaf(leaf).map(Value::Matrix);
        }
        let mut inner = self.matrix(&vector.inner)?;
        let used = inner.bytes();
        let grouping = vector.grouping.clone().unwrap_or_default();
        let result = match (Reduction::of_vector(vector.op), rank(vector.op)) {
            (Some(reduction), _) => aggregate(reduction, &grouping, &inner, self.steps.count()),
            (None, rank) => {
                if let Some(k) = vector.parameter {
                    inner = topk::choose(rank, k, &grouping, &inner);
                }
                if self.steps.is_instant() {
                    order::by_value(&mut inner, rank);
                }
                inner
            }
        };
        self.keep(Value::Matrix(result), used)
    }

    /// A leaf's value, read when it is asked for first and kept until it is asked for last.
    fn leaf(&mut self, wanted: Leaf<'a>) -> Result<Matrix, E> {
        let at = self.leaves.iter().position(|known| known.leaf == wanted);
        let known = at.and_then(|at| self.leaves.get_mut(at));
        let cached = known.and_then(|known| {
            known.uses = known.uses.saturating_sub(1);
            if known.uses == 0 { known.matrix.take() } else { known.matrix.clone() }
        });
        let last = at.and_then(|at| self.leaves.get(at)).is_none_or(|known| known.uses == 0);
        match cached {
            // The last user takes over what is counted already.
            Some(matrix) if last => return Ok(matrix),
            Some(copy) => return self.keep_matrix(copy, 0),
            None => {}
        }
        let matrix = (self.read)(&wanted, self.budget.bytes.saturating_sub(self.alive))?;
        let matrix = self.keep_matrix(matrix, 0)?;
        if !last {
            let copy = self.keep_matrix(matrix.clone(), 0)?;
            if let Some(known) = at.and_then(|at| self.leaves.get_mut(at)) {
                known.matrix = Some(copy);
            }
        }
        Ok(matrix)
    }

    fn keep_matrix(&mut self, matrix: Matrix, used: usize) -> Result<Matrix, E> {
        self.count(matrix.bytes(), used)?;
        Ok(matrix)
    }

    fn keep(&mut self, value: Value, used: usize) -> Result<Value, E> {
        self.count(value.bytes(), used)?;
        Ok(value)
    }

    /// Counts a result while what it was made from is still there, then forgets the latter.
    fn count(&mut self, bytes: usize, used: usize) -> Result<(), E> {
        self.alive = self.alive.saturating_add(bytes);
        if self.alive > self.budget.bytes {
            return Err(EvalError::TooManyBytes(self.budget.bytes).into());
        }
        (self.go_on)(self.alive)?;
        self.forget(used);
        Ok(())
    }

    fn forget(&mut self, bytes: usize) {
        self.alive = self.alive.saturating_sub(bytes);
    }
}

fn rank(op: VectorOp) -> Rank {
    match op {
        VectorOp::Bottomk | VectorOp::Sort => Rank::Ascending,
        _ => Rank::Descending,
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
