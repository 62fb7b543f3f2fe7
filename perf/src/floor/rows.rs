//! What a service knows of each connection, in places that are used again.

/// Places for one kind of row.
#[derive(Debug)]
pub(super) struct Rows<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Rows<T> {
    /// Its place, until it is removed.
    pub(super) fn insert(&mut self, row: T) -> usize {
        if let Some(place) = self.free.pop() {
            self.places[place] = Some(row);
            return place;
        }
        self.places.push(Some(row));
        self.places.len() - 1
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.places.get_mut(place)?.as_mut()
    }

    pub(super) fn remove(&mut self, place: usize) {
        if self.places.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_again_once_it_is_left() {
        let mut rows = Rows::default();
        let (first, second) = (rows.insert('a'), rows.insert('b'));
        rows.remove(first);
        rows.remove(first);
        assert_eq!(rows.get_mut(first), None);
        assert_eq!(rows.insert('c'), first);
        assert_eq!(rows.insert('d'), 2);
        assert_eq!(rows.get_mut(first), Some(&mut 'c'));
        assert_eq!(rows.get_mut(second), Some(&mut 'b'));
    }
}
