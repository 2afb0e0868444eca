# Writes <case>.json: missing-data patterns, pairs and flux as mice computes them.
# Reads <case>.csv: 1 where a cell is observed, 0 where it is missing, of nhanes2 and boys (mice),
# lung (survival) and quine (MASS, with cells removed).
# Run from the repository root: Rscript tests/reference/patterns/generate.R
suppressPackageStartupMessages({ library(mice); library(jsonlite) })
folder <- "tests/reference/patterns"
for (case in c("nhanes2", "boys", "lung", "quine")) {
  data <- read.csv(file.path(folder, paste0(case, ".csv")), check.names = FALSE)
  data[data == 0] <- NA
  pattern <- md.pattern(data, plot = FALSE)
  result <- list(
    program = paste("mice", packageVersion("mice"), R.version.string),
    columns = head(colnames(pattern), -1), counts = as.integer(head(rownames(pattern), -1)),
    pattern = unname(pattern), pairs = lapply(md.pairs(data), unname),
    variables = names(data), flux = as.list(flux(data)), fico = unname(fico(data)),
    n_complete = ncc(data)
  )
  write(toJSON(result, digits = NA, auto_unbox = TRUE, pretty = FALSE),
        file.path(folder, paste0(case, ".json")))
}
