//! Correction for multiple tests.

/// The p values after Holm's correction, in their order. Rejecting those below 0.05 bounds the
/// family-wise error rate by 5 %, whatever their dependence.
///
/// Source: Holm 1979.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max(p_values[index] * (p_values.len() - rank) as f64);
        corrected[index] = largest.min(1.0);
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_values_agree_with_statsmodels() {
        // `multipletests([0.01, 0.04, 0.03, 0.005, 0.6], method="holm")[1]`.
        let found = holm(&[0.01, 0.04, 0.03, 0.005, 0.6]);
        for (found, expected) in found.iter().zip([0.04, 0.09, 0.09, 0.025, 0.6]) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
        assert!(holm(&[]).is_empty());
        assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
    }
}
