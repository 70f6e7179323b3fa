//! The nouns: ids, results, properties, definitions, records and events.
