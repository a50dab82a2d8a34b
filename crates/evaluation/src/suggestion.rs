/// What was probably meant, as an end of a sentence: ", did you mean …?". Empty if nothing is near.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|known| (likeness(name, known), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| format!(", did you mean {known}?"))
        .unwrap_or_default()
}

/// 0 to 1, whatever the case of letters. A single slip in a word of three letters and more is near.
fn likeness(name: &str, known: &str) -> f64 {
    const OF_ONE_SLIP: f64 = 0.9;
    let (name, known) = (name.to_ascii_lowercase(), known.to_ascii_lowercase());
    let likeness = strsim::jaro_winkler(&name, &known);
    let is_one_slip = known.len() >= 3 && strsim::osa_distance(&name, &known) == 1;
    likeness.max(if is_one_slip { OF_ONE_SLIP } else { 0.0 })
}
