//! What does an expression come to?

use super::matrix::Matrix;
use super::steps::Steps;

/// The value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, the same at every step.
    Scalar(f64),
    /// Series.
    Matrix(Matrix),
}

impl Value {
    /// As series: a number is one without labels.
    pub fn into_matrix(self, steps: &Steps) -> Matrix {
        match self {
            Self::Scalar(value) => Matrix::constant(value, steps.count()),
            Self::Matrix(matrix) => matrix,
        }
    }

    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Scalar(_) => 0,
            Self::Matrix(matrix) => matrix.bytes(),
        }
    }
}
