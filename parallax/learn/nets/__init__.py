"""Networks that one method brings along: the parts that the other rooms of `learn` do not share."""
