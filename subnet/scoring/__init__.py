"""What a contribution is worth: credit, copies, free riding, outliers, and what of it is payable."""
