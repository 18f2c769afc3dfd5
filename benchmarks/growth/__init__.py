"""How a cost grows with the size of something: each module measures one size, as curves."""
